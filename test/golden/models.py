"""Small models, filled by the rule of fill.ts, forward, backward and a few optimiser steps -> models.json.

DeiT: timm's VisionTransformerDistilled and VisionTransformer in training mode without stochastic depth. As in the official training
loop, with distillation "none" the distilled model trains its class head only, so head_dist has no gradient and is left out of
the update; it is recorded with norm 0.
RegNetY: timm's RegNet, in evaluation and in training mode. Run: python models.py"""
import common
import torch
from common import fill, fill_model, numbers, summary, write
from losses import distillation
from timm.loss import LabelSmoothingCrossEntropy
from timm.models.deit import VisionTransformerDistilled
from timm.models.regnet import RegNet, RegNetCfg
from timm.models.vision_transformer import VisionTransformer

LABELS, SMOOTHING, TEACHER_K = torch.tensor([3, 7]), 0.1, 9999
DEIT = {"imgSize": 32, "patchSize": 4, "dim": 96, "depth": 2, "heads": 3, "numClasses": 10}


def deit(distilled):
    kind = VisionTransformerDistilled if distilled else VisionTransformer
    model = kind(img_size=32, patch_size=4, embed_dim=96, depth=2, num_heads=3, num_classes=10)
    if distilled:
        model.set_distilled_training(True)
    return fill_model(model).train()


def taps(model, names):
    seen = {}
    for name, module in model.named_modules():
        if name in names:
            module.register_forward_hook(lambda m, i, o, name=name: seen.__setitem__(name, summary(o)))
    return seen


def without_key_rows(name, tensor):
    """The key third of the qkv bias moves every score of a row alike: its true gradient is 0, what any f32 run finds is rounding, and
    Adam turns that into steps. It is left out of the norms of `after`."""
    return torch.cat([tensor[:len(tensor) // 3], tensor[2 * len(tensor) // 3:]]) if name.endswith("qkv.bias") else tensor


def deit_loss(model, x, teacher, kind, alpha, tau):
    out = model(x)
    logits, dist = out if isinstance(out, tuple) else (out, None)
    base = LabelSmoothingCrossEntropy(SMOOTHING)(logits, LABELS)
    return base if kind == "none" else base * (1 - alpha) + alpha * distillation(kind, dist, teacher, tau)


def gradients(model):
    zero = lambda p: torch.zeros_like(p) if p.grad is None else p.grad
    return {n: {"norm": numbers(zero(p).norm()), "first": numbers(zero(p).reshape(-1)[:4])} for n, p in model.named_parameters()}


def deit_run(distilled, kind, alpha=0.5, tau=1.0, steps=3, lr=1e-3, decay=0.05):
    x, teacher = fill((2, 3, 32, 32), 0, 1.7), fill((2, 10), TEACHER_K, 2)
    model = deit(distilled)
    loss = deit_loss(model, x, teacher, kind, alpha, tau)
    loss.backward()
    result = {"distillation": kind, "alpha": alpha, "tau": tau, "loss": numbers(loss), "grads": gradients(model)}

    model = deit(distilled)
    # Official groups: no decay for 1-D parameters, pos_embed and cls_token; dist_token is decayed.
    plain = lambda n, p: p.ndim <= 1 or n in ("pos_embed", "cls_token")
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW([{"params": [p for n, p in named if not plain(n, p)], "weight_decay": decay},
                                   {"params": [p for n, p in named if plain(n, p)], "weight_decay": 0.0}], lr=lr)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = deit_loss(model, x, teacher, kind, alpha, tau)
        loss.backward()
        optimizer.step()
        losses.append(numbers(loss))
    after = {n: {"norm": numbers(without_key_rows(n, p).norm()), "first": numbers(p.reshape(-1)[:4])} for n, p in named}
    return {**result, "steps": {"count": steps, "lr": lr, "weightDecay": decay, "losses": losses, "after": after}}


def deit_group(distilled):
    x = fill((2, 3, 32, 32), 0, 1.7)
    model = deit(distilled)
    seen = taps(model, {"patch_embed", "blocks.0", "blocks.1", "norm"})
    out = model(x)
    logits = {"logits_cls": numbers(out[0]), "logits_dist": numbers(out[1])} if distilled else {}
    runs = [("none", 0.5, 1.0)] + ([("soft", 0.1, 3.0), ("hard", 0.5, 1.0)] if distilled else [])
    return {"config": {"arch": "deit", **DEIT, "distilled": distilled}, "input": {"shape": [2, 3, 32, 32], "k": 0, "amp": 1.7},
            "labels": LABELS.tolist(), "labelSmoothing": SMOOTHING, "teacher": {"k": TEACHER_K, "amp": 2, "shape": [2, 10]},
            "tensors": [[n, list(p.shape)] for n, p in model.named_parameters()],
            "logits": numbers(model.eval()(x)), **logits, "activations": seen, "runs": [deit_run(distilled, *r) for r in runs]}


REGNET = {"depth": 5, "w0": 16, "wa": 10.0, "wm": 1.6, "group": 8, "stem": 32, "seRatio": 0.25}


def regnet():
    cfg = RegNetCfg(depth=5, w0=16, wa=10.0, wm=1.6, group_size=8, se_ratio=0.25)
    return fill_model(RegNet(cfg, num_classes=10))


def regnet_group():
    shape, labels = (4, 3, 48, 48), torch.tensor([3, 7, 0, 3])  # 48: maps of 24, 12, 6, 3 and 2, so that an odd side is strided too
    x = fill(shape, 0, 1.7)
    model = regnet()
    stages = [n for n, _ in model.named_children() if n[0] == "s" and n[1:].isdigit()]
    entries = [[n, list(v.shape)] for n, v in model.state_dict().items() if not n.endswith("num_batches_tracked")]
    result = {"config": {"arch": "regnety", **REGNET, "numClasses": 10}, "input": {"shape": list(shape), "k": 0, "amp": 1.7},
              "labels": labels.tolist(), "labelSmoothing": SMOOTHING, "tensors": entries}
    for mode in ("eval", "train"):
        model = regnet().train(mode == "train")
        seen = taps(model, {"stem", *stages})
        logits = model(x)
        loss = LabelSmoothingCrossEntropy(SMOOTHING)(logits, labels)
        loss.backward()
        result[mode] = {"logits": numbers(logits), "activations": seen, "loss": numbers(loss), "grads": gradients(model)}
    result["train"]["running"] = {n: {"norm": numbers(v.norm()), "first": numbers(v.reshape(-1)[:4])}
                                  for n, v in model.state_dict().items() if "running" in n}
    model = regnet().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-5, nesterov=True)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = LabelSmoothingCrossEntropy(SMOOTHING)(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(numbers(loss))
    result["steps"] = {"count": 4, "optimizer": "sgd", "lr": 0.01, "momentum": 0.9, "weightDecay": 5e-5, "nesterov": True, "losses": losses,
                       "after": {n: numbers(v.norm()) for n, v in model.state_dict().items() if not n.endswith("tracked")}}
    return result


if __name__ == "__main__":
    write("models.json", {"deit_distilled": deit_group(True), "deit": deit_group(False), "regnety": regnet_group()})
