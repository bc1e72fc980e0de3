"""timm's whole family -> family.json: sizes of every model by name, logits and activations of the DeiT and RegNetY at full size, and every
parameter's gradient of the smaller ones. Weights and inputs by the rule of fill.ts.

A tensor is written down as its norm and its products with eight vectors of signs, which come from a hash (probe.ts does the same). The sum of
squares of the differences of such products, by eight, is on average the squared norm of the difference, wherever it sits.
Run: python family.py"""
import base64
import sys

import common
import numpy as np
import timm
import torch
from common import fill, fill_model, numbers, unit_values, write
from timm.loss import LabelSmoothingCrossEntropy
from torch import nn

PROBE_K, PROBES = 100_000, 8
SIZES = ("tiny", "small", "base")
DEIT = [f"deit_{s}_patch16_224" for s in SIZES] + ["deit_base_patch16_384"]
DISTILLED = [f"deit_{s}_distilled_patch16_224" for s in SIZES] + ["deit_base_distilled_patch16_384"]
VIT = [f"vit_{s}_patch16_{r}" for s in SIZES for r in (224, 384)]
REGNETY = [f"regnety_{n}" for n in ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160")]
FORWARD = DEIT + DISTILLED + ["regnety_004", "regnety_040", "regnety_160"]
BACKWARD = ["deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "deit_small_distilled_patch16_224"]


def side(name):
    return timm.get_pretrained_cfg(name).input_size[-1]


def sizes(name):
    """Parameters, and of one image's forward the multiply-adds and the output elements of convolutions, linear layers and the two
    products of attention, counted while it runs."""
    with torch.device("meta"):
        model = timm.create_model(name).eval()
    macs = activations = 0

    def count(module, inputs, output):
        nonlocal macs, activations
        each = module.weight[0].numel()
        macs += output.numel() * each
        activations += output.numel()

    def count_attention(module, inputs, output):
        nonlocal macs, activations
        _, n, d = inputs[0].shape
        macs += 2 * n * n * d
        activations += module.num_heads * n * n + n * d

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
        elif hasattr(module, "qkv"):
            module.register_forward_hook(count_attention)
    with torch.no_grad():
        model(torch.zeros(1, 3, side(name), side(name), device="meta"))
    return [sum(p.numel() for p in model.parameters()), macs, activations]


def probe(tensor):
    """[norm, products with PROBES vectors of signs]: bit 31 - j of element i's hash says the sign of vector j."""
    values = tensor.detach().double().reshape(-1).numpy()
    bits = ((unit_values(values.size, PROBE_K) + 1) / 2 * 256).astype(np.uint8)
    products = [float(np.where(bits & (128 >> j), values, -values).sum()) for j in range(PROBES)]
    return [float(f"{v:.9g}") for v in [np.linalg.norm(values), *products]]


def f32_base64(tensor):
    return base64.b64encode(tensor.detach().reshape(-1).numpy().astype("<f4").tobytes()).decode()


def forward(name):
    model = fill_model(timm.create_model(name)).eval()
    taps = {"patch_embed", "norm", "stem", "s1", "s2", "s3", "s4", *(f"blocks.{i}" for i in range(12))}
    seen = {}
    for tap, module in model.named_modules():
        if tap in taps:
            module.register_forward_hook(lambda m, i, o, tap=tap: seen.__setitem__(tap, {"shape": list(o.shape), "probe": probe(o)}))
    with torch.no_grad():
        logits = model(fill((2, 3, side(name), side(name)), 0, 1.7))
    return {"logits": f32_base64(logits), "activations": seen}


def backward(name):
    """Label smoothing 0.1 on classes 3 and 7; distilled, half of it and half the cross-entropy of the other head with classes 11 and 500."""
    model = fill_model(timm.create_model(name)).train()
    distilled = "distilled" in name
    if distilled:
        model.set_distilled_training(True)
    out = model(fill((2, 3, side(name), side(name)), 0, 1.7))
    loss = LabelSmoothingCrossEntropy(0.1)(out[0] if distilled else out, torch.tensor([3, 7]))
    if distilled:
        loss = 0.5 * loss + 0.5 * nn.functional.cross_entropy(out[1], torch.tensor([11, 500]))
    loss.backward()
    return {"loss": numbers(loss), "gradients": {n: probe(p.grad) for n, p in model.named_parameters()}}


def step(what, name, result):
    print(what, name, file=sys.stderr, flush=True)
    return result(name)


if __name__ == "__main__":
    timm_version = {"timm": timm.__version__}
    write("family.json", {
        **timm_version,
        "sizes": {n: step("sizes", n, sizes) for n in [*DEIT, *DISTILLED, *VIT, *REGNETY]},
        "forward": {n: step("forward", n, forward) for n in FORWARD},
        "backward": {n: step("backward", n, backward) for n in BACKWARD},
    })
