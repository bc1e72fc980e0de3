"""Small ResNets as timm has them -> resnet.json: logits, every stage's activations and every parameter's gradient, in evaluation and in
training mode, with the running statistics after it. Run: python resnet.py"""
import hashlib

import common
import timm
import torchvision
from common import fill, fill_model, numbers, write
from family import probe, sizes
from timm.models.resnet import BasicBlock, Bottleneck, ResNet

BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}
SIZES = ["resnet18", "resnet34", "resnet50"]


def small(c):
    return ResNet(BLOCKS[c["block"]], tuple(c["depths"]), num_classes=c["numClasses"], channels=tuple(c["width"] << s for s in range(4)))


def shapes(name):
    """Number of tensors, and a digest of their names and shapes in order, the same in timm and torchvision; parameters, multiply-adds, activations."""
    lists = []
    for model in (timm.create_model(name), getattr(torchvision.models, name)()):
        lists.append("".join(f"{k}:{','.join(map(str, v.shape))};" for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")))
    assert lists[0] == lists[1]
    return {"tensors": lists[0].count(";"), "sha256": hashlib.sha256(lists[0].encode()).hexdigest(), "sizes": sizes(name)}


def record(c):
    result = {"config": c}
    for mode in ("eval", "train"):
        model = fill_model(small(c)).train(mode == "train")
        seen = {}
        for name, module in {"stem": model.act1, **{f"s{i}": getattr(model, f"layer{i}") for i in range(1, 5)}}.items():
            module.register_forward_hook(lambda m, i, o, name=name: seen.__setitem__(name, probe(o)))
        y = model(fill((3, 3, c["imgSize"], c["imgSize"]), 0, 1.7))
        (y * fill(y.shape, 1, 1)).sum().backward()
        stats = {n: probe(b) for n, b in model.named_buffers() if "running" in n} if mode == "train" else {}
        result[mode] = {"y": numbers(y), "activations": seen, "gradients": {n: probe(p.grad) for n, p in model.named_parameters()}, "stats": stats}
    return result


if __name__ == "__main__":
    config = lambda block, size, depths, width=8: {"arch": "resnet", "imgSize": size, "block": block, "depths": depths, "stemWidth": 64, "width": width, "numClasses": 6}
    write("resnet.json", {"timm": timm.__version__, "small": [record(config("bottleneck", 32, [1, 1, 1, 1], 2))],
                          "larger": [record(config("basic", 64, [2, 1, 1, 1])), record(config("bottleneck", 70, [1, 2, 1, 1]))],
                          "names": {name: shapes(name) for name in SIZES}})
