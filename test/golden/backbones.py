"""Vision transformers of timm's names but DeiT's -> backbones.json: their sizes, and of one image logits or features, every block's activations
and every parameter's gradient, in f32. Weights and input by the rule of fill.ts; tensors are written down as in family.py.
Run: python backbones.py"""
import family  # first: it makes timm importable
import timm
import torch
from common import fill, fill_model, numbers, write
from family import f32_base64, probe, side, step
from timm.loss import LabelSmoothingCrossEntropy

SIZES = [
    *(f"vit_{s}_patch32_{r}" for s, r in [("small", 224), ("base", 224), ("small", 384), ("base", 384), ("large", 384)]),
    "vit_large_patch16_224", "vit_large_patch16_384", "vit_small_patch8_224", "vit_base_patch8_224",
    *(f"deit3_{s}_patch16_224" for s in ("small", "medium", "base", "large")), *(f"deit3_{s}_patch16_384" for s in ("small", "base", "large")),
    *(f"vit_{s}_patch14_dinov2" for s in ("small", "base", "large")), *(f"vit_{s}_patch14_reg4_dinov2" for s in ("small", "base", "large")),
]
RUN = [
    "vit_tiny_patch16_224", "vit_small_patch32_224", "vit_small_patch16_224.dino", "vit_base_patch32_224", "deit3_small_patch16_224",
    "deit3_medium_patch16_224", "deit3_small_patch16_384", "vit_small_patch8_224", "vit_base_patch16_224.mae", "deit3_base_patch16_224",
    "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "deit3_large_patch16_224",
]


def run(name):
    """The loss is label smoothing 0.1 on class 3; without a head, the product of the features with numbers by rule."""
    model = fill_model(timm.create_model(name)).float().eval()
    seen = {}
    for tap, module in model.named_modules():
        if tap in ("patch_embed", "norm") or tap.startswith("blocks.") and tap.count(".") == 1:
            module.register_forward_hook(lambda m, i, o, tap=tap: seen.__setitem__(tap, {"shape": list(o.shape), "probe": probe(o)}))
    y = model(fill((1, 3, side(name), side(name)), 0, 1.7).float())
    loss = LabelSmoothingCrossEntropy(0.1)(y, torch.tensor([3])) if model.num_classes else (y * fill(y.shape, 1, 1)).sum()
    loss.backward()
    return {"y": f32_base64(y), "activations": seen, "loss": numbers(loss), "gradients": {n: probe(p.grad) for n, p in model.named_parameters()}}


if __name__ == "__main__":
    recorded = {"timm": timm.__version__, "sizes": {n: step("sizes", n, family.sizes) for n in SIZES}, "models": {}}
    for name in RUN:
        recorded["models"][name] = step("run", name, run)
        write("backbones.json", recorded)
