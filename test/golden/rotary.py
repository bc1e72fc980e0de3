"""DINOv3 and EVA-02 -> rotary.json: their sizes, and of some names what backbones.py records. Of small models -> rotary-small.json what
backbones_small.py records, of two also what they give at twice the size. Run: python rotary.py"""
import backbones  # first: it makes timm importable
import family
import timm
import torch
from common import fill, fill_model, numbers, write
from family import probe, side, step
from functools import partial
from timm.models.eva import Eva
from torch import nn

DINOV3 = [
    *(f"vit_{s}_patch16_dinov3" for s in ("small", "small_plus", "base", "large")),
    *(f"vit_{s}_patch16_dinov3_qkvb" for s in ("tiny", "small", "small_plus", "base", "large")),
]
EVA02 = [
    *(f"eva02_{s}_patch14_224" for s in ("tiny", "small", "base", "large")), *(f"eva02_{s}_patch14_336" for s in ("tiny", "small")),
    *(f"eva02_{s}_patch14_448" for s in ("base", "large")),
]
RUN = ["vit_small_patch16_dinov3", "vit_small_plus_patch16_dinov3_qkvb", "eva02_tiny_patch14_336", "eva02_base_patch14_224"]

SMALL = {"arch": "deit", "dim": 24, "depth": 2, "heads": 2, "mlpRatio": 2, "layerScale": None, "regTokens": 0, "eps": 1e-6}
MODELS = {
    "DINOv3": {**SMALL, "patchSize": 8, "imgSize": 24, "numClasses": 0, "layerScale": 1e-5, "regTokens": 4, "eps": 1e-5, "pool": "mean",
               "fcNorm": False, "rope": "dinov3", "qkvBias": False, "qkvFused": True, "swiglu": None, "mlpNorm": False},
    "DINOv3 with SwiGLU": {**SMALL, "patchSize": 14, "imgSize": 28, "numClasses": 8, "layerScale": 1e-5, "regTokens": 1, "eps": 1e-5, "pool": "cls",
                           "fcNorm": False, "rope": "dinov3", "qkvBias": True, "qkvFused": True, "swiglu": "split", "mlpNorm": False},
    "EVA-02": {**SMALL, "patchSize": 7, "imgSize": 21, "numClasses": 8, "pool": "mean",
               "fcNorm": True, "rope": "eva02", "qkvBias": True, "qkvFused": True, "swiglu": "packed", "mlpNorm": False},
    "EVA-02's larger": {**SMALL, "patchSize": 14, "imgSize": 42, "numClasses": 8, "pool": "mean", "mlpRatio": 1.3,
                        "fcNorm": True, "rope": "eva02", "qkvBias": True, "qkvFused": False, "swiglu": "split", "mlpNorm": True},
}


def sizes(name):
    """As family.py counts them. Where Eva adds its biases apart, it calls the product of query, key and value as a function: counted here."""
    parameters, macs, activations = family.sizes(name)
    with torch.device("meta"):
        model = timm.create_model(name)
    tokens = (side(name) // model.patch_embed.patch_size[0]) ** 2 + model.num_prefix_tokens
    for block in model.blocks:
        if block.attn.q_bias is not None:
            macs += tokens * block.attn.qkv.weight.numel()
            activations += tokens * block.attn.qkv.weight.shape[0]
    return [parameters, macs, activations]


def timm_model(c, size=None):
    dinov3 = c["rope"] == "dinov3"
    return Eva(
        img_size=size or c["imgSize"], patch_size=c["patchSize"], embed_dim=c["dim"], depth=c["depth"], num_heads=c["heads"], mlp_ratio=c["mlpRatio"],
        num_classes=c["numClasses"], init_values=c["layerScale"], num_reg_tokens=c["regTokens"], qkv_bias=c["qkvBias"], qkv_fused=c["qkvFused"],
        global_pool={"cls": "token", "mean": "avg"}[c["pool"]], use_fc_norm=c["fcNorm"], swiglu_mlp=c["swiglu"] is not None,
        swiglu_align_to=1 if c["swiglu"] == "split" else 0, scale_mlp=c["mlpNorm"], use_rot_pos_emb=True, norm_layer=partial(nn.LayerNorm, eps=c["eps"]),
        **(dict(use_abs_pos_emb=False, rope_type="dinov3", rope_temperature=100, rope_rotate_half=True) if dinov3 else dict(ref_feat_shape=16)))


def record(name, c):
    model = fill_model(timm_model(c)).eval()
    seen, probabilities = {}, []
    for tap, module in model.named_modules():
        if tap == "patch_embed" or tap.startswith("blocks.") and tap.count(".") == 1:
            module.register_forward_hook(lambda m, i, o, tap=tap: seen.__setitem__(tap, probe(o)))
    last = model.blocks[-1].attn
    last.fused_attn = False  # so that the probabilities are made
    last.attn_drop.register_forward_hook(lambda m, i, o: probabilities.append(probe(o)))
    y = model(fill((3, 3, c["imgSize"], c["imgSize"]), 0, 1.7))
    (y * fill(y.shape, 1, 1)).sum().backward()
    return {"name": name, "config": c, "y": numbers(y), "activations": seen, "attention": probabilities[0],
            "gradients": {n: probe(p.grad) for n, p in model.named_parameters()}}


def resized(c):
    """The same weights at twice the size, a position embedding resampled as timm does it."""
    size = 2 * c["imgSize"]
    model = fill_model(timm_model(c)).eval()
    model.set_input_size(img_size=(size, size))
    model.double()
    with torch.no_grad():
        return numbers(model(fill((1, 3, size, size), 0, 1.7)))


if __name__ == "__main__":
    models = [{**record(name, c), **({"resized": resized(c)} if name in ("DINOv3", "EVA-02") else {})} for name, c in MODELS.items()]
    write("rotary-small.json", {"timm": timm.__version__, "models": models})
    recorded = {"timm": timm.__version__, "sizes": {n: step("sizes", n, sizes) for n in [*DINOV3, *EVA02]}, "models": {}}
    for name in RUN:
        recorded["models"][name] = step("run", name, backbones.run)
        write("rotary.json", recorded)
