"""Six small vision transformers with switches drawn at random, as timm has them -> backbones-small.json: logits or features, every block's
activations and every parameter's gradient. Run: python backbones_small.py"""
import common
import numpy as np
import timm
import torch
from common import fill, fill_model, numbers, write
from family import probe
from timm.models.vision_transformer import VisionTransformer
from torch import nn

POOLS = {"cls": "token", "mean": "avg"}


def draw(rng):
    """A config of ours. Widths are alike, so that the models share what is compiled."""
    patch = int(rng.choice([7, 14, 32]))
    pool = str(rng.choice(["cls", "mean"]))
    final = bool(rng.random() < 0.8)
    return {
        "arch": "deit", "patchSize": patch, "imgSize": patch * int(rng.choice([2, 3])), "dim": 24, "depth": int(rng.choice([1, 2])),
        "heads": 2, "mlpRatio": 2, "numClasses": int(rng.choice([0, 8])),
        "layerScale": None if rng.random() < 0.3 else 1e-5, "regTokens": int(rng.choice([0, 1, 4])), "posEmbedCls": bool(rng.random() < 0.5),
        "preNorm": bool(rng.random() < 0.5), "eps": float(rng.choice([1e-6, 1e-5])), "qkvBias": bool(rng.random() < 0.5), "pool": pool,
        "finalNorm": final, "fcNorm": bool(final and rng.random() < 0.5),
    }


def timm_model(c):
    return VisionTransformer(
        img_size=c["imgSize"], patch_size=c["patchSize"], embed_dim=c["dim"], depth=c["depth"], num_heads=c["heads"], mlp_ratio=c["mlpRatio"],
        num_classes=c["numClasses"], init_values=c["layerScale"], reg_tokens=c["regTokens"], no_embed_class=not c["posEmbedCls"],
        pre_norm=c["preNorm"], qkv_bias=c["qkvBias"], global_pool=POOLS[c["pool"]], final_norm=c["finalNorm"], fc_norm=c["fcNorm"],
        norm_layer=lambda dim, **kw: nn.LayerNorm(dim, eps=c["eps"], **kw))


def record(c):
    model = fill_model(timm_model(c)).eval()
    seen = {}
    for name, module in model.named_modules():
        if name == "patch_embed" or name.startswith("blocks.") and name.count(".") == 1:
            module.register_forward_hook(lambda m, i, o, name=name: seen.__setitem__(name, probe(o)))
    y = model(fill((3, 3, c["imgSize"], c["imgSize"]), 0, 1.7))
    (y * fill(y.shape, 1, 1)).sum().backward()
    return {"config": c, "y": numbers(y), "activations": seen, "gradients": {n: probe(p.grad) for n, p in model.named_parameters()}}


if __name__ == "__main__":
    rng = np.random.default_rng(8)
    write("backbones-small.json", {"timm": timm.__version__, "models": [record(draw(rng)) for _ in range(6)]})
