"""ConvNeXts as timm has them -> convnext.json: logits, every stage's activations and every parameter's gradient of two small ones and of
convnext_atto, and the names, shapes and sizes of all. Run: python convnext.py"""
import hashlib

import common
import timm
import torch
from common import fill, fill_model, numbers, write
from family import probe, sizes
from timm.models.convnext import ConvNeXt, checkpoint_filter_fn

SIZES = ["convnext_atto", "convnext_femto", "convnext_pico", "convnext_nano", "convnext_tiny"]


def small(c):
    return ConvNeXt(depths=tuple(c["depths"]), dims=tuple(c["dims"]), conv_mlp=c["convMlp"], num_classes=c["numClasses"])


def shapes(name):
    """Number of tensors, a digest of their names and shapes in order, parameters, multiply-adds, activations, and the share of a picture that is kept."""
    model = timm.create_model(name)
    text = "".join(f"{k}:{','.join(map(str, v.shape))};" for k, v in model.state_dict().items())
    return {"tensors": text.count(";"), "sha256": hashlib.sha256(text.encode()).hexdigest(), "sizes": sizes(name), "crop": timm.get_pretrained_cfg(name).crop_pct}


def official(c):
    """timm's names by the official repository's, as timm reads such a file."""
    import re
    back = {}
    for name in small(c).state_dict():
        own = re.sub(r"^stem\.", "downsample_layers.0.", name)
        own = re.sub(r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1.", own)
        own = re.sub(r"^stages\.(\d)\.blocks\.", r"stages.\1.", own)
        own = own.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv").replace("head.norm", "norm").replace("head.fc", "head")
        back[own] = name
    read = checkpoint_filter_fn({own: torch.full((1,), float(i)) for i, own in enumerate(back)}, small(c))
    assert [back[own] for own in back] == list(read)
    return back


def record(model, side, count):
    model = fill_model(model).eval()
    seen = {}
    for name, module in {"stem": model.stem, **{f"s{i + 1}": stage for i, stage in enumerate(model.stages)}}.items():
        module.register_forward_hook(lambda m, i, o, name=name: seen.__setitem__(name, probe(o.contiguous())))
    y = model(fill((count, 3, side, side), 0, 1.7))
    (y * fill(y.shape, 1, 1)).sum().backward()
    return {"y": numbers(y), "activations": seen, "gradients": {n: probe(p.grad) for n, p in model.named_parameters()}}


if __name__ == "__main__":
    config = lambda side, conv_mlp, classes: {"arch": "convnext", "imgSize": side, "depths": [1, 1, 2, 1], "dims": [4, 8, 12, 16], "convMlp": conv_mlp, "numClasses": classes}
    configs = [config(44, True, 6), config(32, False, 0)]
    write("convnext.json", {"timm": timm.__version__, "small": [{"config": c, **record(small(c), c["imgSize"], 3)} for c in configs],
                            "atto": record(timm.create_model("convnext_atto"), 224, 1),
                            "official": official(configs[0]), "names": {name: shapes(name) for name in SIZES}})
