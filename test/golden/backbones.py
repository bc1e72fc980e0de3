"""What family.py records, of the other vision transformers of timm's names -> backbones.json. Run: python backbones.py"""
import family
from common import write
from family import step

SIZES = [
    *(f"vit_{s}_patch32_{r}" for s, r in [("small", 224), ("base", 224), ("small", 384), ("base", 384), ("large", 384)]),
    "vit_large_patch16_224", "vit_large_patch16_384", "vit_small_patch8_224", "vit_base_patch8_224",
    *(f"deit3_{s}_patch16_224" for s in ("small", "medium", "base", "large")), *(f"deit3_{s}_patch16_384" for s in ("small", "base", "large")),
    *(f"vit_{s}_patch14_dinov2" for s in ("small", "base", "large")), *(f"vit_{s}_patch14_reg4_dinov2" for s in ("small", "base", "large")),
]
BOTH = [
    "deit3_small_patch16_224", "deit3_medium_patch16_224", "deit3_base_patch16_224", "deit3_small_patch16_384",
    "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_small_patch16_224.dino", "vit_small_patch8_224",
    "vit_base_patch16_224.mae", "vit_tiny_patch16_224", "vit_small_patch32_224", "vit_base_patch32_224",
]
FORWARD = [*BOTH, "deit3_large_patch16_224", "vit_base_patch8_224"]

if __name__ == "__main__":
    write("backbones.json", {
        "timm": family.timm.__version__,
        "sizes": {n: step("sizes", n, family.sizes) for n in SIZES},
        "forward": {n: step("forward", n, family.forward) for n in FORWARD},
        "backward": {n: step("backward", n, family.backward) for n in BOTH},
    })
