"""Ten updates of each recipe of recipes-in.json by timm's own optimizers, schedules and mixing -> recipes.json. What is random comes from
recipes-in.json (written by recipes.ts). The no-decay list is the official DeiT code's, without the distillation token.
Run: npx tsx recipes.ts && python recipes.py"""
import json
from unittest.mock import patch

import common
import timm.data.mixup
import torch
import torch.nn.functional as F
from common import HERE, fill_model, numbers, write
from timm.data.mixup import Mixup
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from timm.optim import create_optimizer_v2, param_groups_weight_decay
from timm.scheduler import CosineLRScheduler

CLASSES, SIDE = 4, 16
read = json.loads((HERE / "recipes-in.json").read_text())
mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in ([0.5, 0.4, 0.3], [0.25, 0.3, 0.2]))
images = (torch.tensor(read["images"], dtype=torch.float64).view(-1, 3, SIDE, SIDE) / 255 - mean) / std
labels = torch.arange(len(images)) % CLASSES


def optimizer_of(r, model):
    groups = param_groups_weight_decay(model, r["weightDecay"], no_weight_decay_list=["pos_embed", "cls_token"])
    if r["optimizer"] == "sgd":
        return create_optimizer_v2(groups, opt="sgd" if r["nesterov"] else "momentum", lr=r["lr"], momentum=r["momentum"])
    own = {"max_grad_norm": r["maxGradNorm"]} if r["optimizer"] == "lamb" and r["maxGradNorm"] is None else {}  # 1 is timm's default
    return create_optimizer_v2(groups, opt=r["optimizer"], lr=r["lr"], betas=(r["beta1"], r["beta2"]), eps=r["eps"], **own)


def rates(r, optimizer):
    """The schedule's step before each update: an epoch is one update."""
    by_step = r["schedule"] == "step"
    s = CosineLRScheduler(optimizer, t_initial=r["epochs"] - (r["warmupEpochs"] if by_step else 0), lr_min=r["minLr"],
                          warmup_t=r["warmupEpochs"], warmup_lr_init=r["warmupLr"], warmup_prefix=by_step, t_in_epochs=not by_step)
    if by_step:
        return lambda update: s.step_update(update)
    if r["schedule"] == "fixed":
        return lambda update: s.step(update)
    return lambda update: s.step(update - 1) if update > 0 else None  # the official loop steps after an epoch with its own number


def mixed(r, mix, x, y):
    fn = Mixup(r["mixup"], r["cutmix"], None, r["mixProb"], r["mixSwitchProb"], "batch", True, r["labelSmoothing"], CLASSES)
    y0, y1, x0, x1 = mix["box"]
    with patch.object(Mixup, "_params_per_batch", lambda self: (mix["lam"], mix["mode"] == "cutmix")), \
            patch.object(timm.data.mixup, "cutmix_bbox_and_lam", lambda *a, **k: ((y0, y1, x0, x1), mix["lam"])):
        return fn(x.clone(), y)


def model_of(case):
    kind = VisionTransformerDistilled if case["distilled"] else VisionTransformer
    deit3 = {"init_values": 1e-4, "no_embed_class": True} if case["deit3"] else {}
    return fill_model(kind(img_size=SIDE, patch_size=8, embed_dim=12, depth=2, num_heads=3, num_classes=CLASSES, **deit3))


def run(case):
    r = case["recipe"]
    model = model_of(case).train()
    optimizer = optimizer_of(r, model)
    schedule = rates(r, optimizer)
    steps = []
    for update, drawn in enumerate(case["updates"]):
        schedule(update)
        x, y = images[drawn["order"]], labels[drawn["order"]]
        if drawn["mix"]:
            x, y = mixed(r, drawn["mix"], x, y)
            y = y.double()
        if r["bceLoss"]:
            loss = BinaryCrossEntropy(r["labelSmoothing"], r["bceTargetThresh"])(model(x), y)
        elif drawn["mix"]:
            loss = SoftTargetCrossEntropy()(model(x), y)
        else:
            loss = LabelSmoothingCrossEntropy(r["labelSmoothing"])(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), r["clipGrad"] or float("inf"))
        first = {n: numbers(p.grad.norm()) for n, p in model.named_parameters()} if update == 0 and not r["clipGrad"] else None
        steps.append({"loss": numbers(loss), "lr": optimizer.param_groups[0]["lr"], "norm": numbers(norm), **({"grads": first} if first else {})})
        optimizer.step()
    before = dict(model_of(case).named_parameters())
    after = {n: {"norm": numbers(p.norm()), "moved": numbers((p - before[n]).norm()), "first": numbers(p.reshape(-1)[:4])}
             for n, p in model.named_parameters()}
    return {"name": case["name"], "steps": steps, "after": after}


write("recipes.json", {"recipes": [run(case) for case in read["recipes"]]})
