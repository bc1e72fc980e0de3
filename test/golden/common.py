"""Shared by the recording scripts: the fill rule of fill.ts, and how numbers are written down."""
import json
import math
import pathlib

import numpy as np
import torch

# timm imports torchvision, whose compiled operators are not needed here; without them the import asks for these two names.
_stub = torch.library.Library("torchvision", "FRAGMENT")
if not hasattr(torch.ops.torchvision, "nms"):
    for name in ("nms", "qnms"):
        _stub.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

HERE = pathlib.Path(__file__).parent


def unit_values(count, k):
    """f64 in [-1, 1): a hash of (i, k), as in fill.ts."""
    h = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32((k * 0x85EBCA6B) % 2**32)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return 2 * h.astype(np.float64) / 2**32 - 1


def fill(shape, k, amp, base=0.0):
    """f64 tensor holding values rounded to f32."""
    count = math.prod(shape)
    return torch.from_numpy((base + amp * unit_values(count, k)).astype(np.float32)).double().reshape(shape)


def fill_range(name, shape):
    last = name.split(".")[-1]
    if last in ("cls_token", "dist_token", "reg_token", "pos_embed"):
        return 0.5, 0.0
    if last == "gamma":
        return 0.3, 0.6
    if last == "running_var":
        return 0.5, 1.0
    if last == "running_mean":
        return 0.1, 0.0
    if len(shape) >= 2:
        return math.sqrt(3 / math.prod(shape[1:])), 0.0
    return (0.2, 1.0) if last == "weight" else (0.1, 0.0)


def fill_model(model):
    """Fills parameters and buffers in state_dict order, numbered from 1; returns the model in f64."""
    model.double()
    k = 0
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            k += 1
            amp, base = fill_range(name, value.shape)
            value.copy_(fill(value.shape, k, amp, base))
    return model


def numbers(tensor, digits=9):
    """Nested lists of floats with `digits` significant digits."""
    def short(v):
        return [short(x) for x in v] if isinstance(v, list) else float(f"{v:.{digits}g}")
    return short(tensor.detach().tolist())


def summary(tensor, first=8):
    flat = tensor.detach().reshape(-1)
    return {"shape": list(tensor.shape), "first": numbers(flat[:first]), "mean": numbers(flat.mean()),
            "rms": numbers(flat.square().mean().sqrt())}


def write(name, value):
    value = {"recordedWith": {"torch": torch.__version__, "script": f"{pathlib.Path(name).stem}.py", "arithmetic": "f64 on f32 inputs"}, **value}
    text = json.dumps(value, indent=1)
    # One line per innermost list: small diffs and small files.
    import re
    text = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda m: "[" + re.sub(r"\s*\n\s*", " ", m.group(1)) + "]", text)
    (HERE / name).write_text(text + "\n")
    print(name, len(text))
