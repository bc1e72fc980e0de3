"""AdamW with decay groups, SGD with momentum, LAMB, and the moving average of weights -> optimizers.json. Run: python optimizers.py"""
import common
import torch
from common import fill, fill_model, numbers, write
from timm.optim.lamb import Lamb
from timm.utils import ModelEmaV2

STEPS = 5
SHAPES = {"weight": (3, 4), "bias": (4,)}


def parameters():
    return {name: fill(shape, k + 1, 1.0).requires_grad_() for k, (name, shape) in enumerate(SHAPES.items())}


def gradients(step):
    return {name: fill(shape, 10 * (step + 1) + k, 0.5) for k, (name, shape) in enumerate(SHAPES.items())}


def run(make, schedule=lambda step, lr: lr):
    params = parameters()
    optimizer = make([{"params": [params["weight"]]}, {"params": [params["bias"]], "weight_decay": 0.0}])
    peak = optimizer.param_groups[0]["lr"]
    after = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = schedule(step, peak)
        for name, grad in gradients(step).items():
            params[name].grad = grad
        optimizer.step()
        after.append({name: numbers(p) for name, p in params.items()})
    return after


adamw = []
for attrs in ({"lr": 1e-3, "weight_decay": 0.05}, {"lr": 0.1, "weight_decay": 0.3}, {"lr": 0.01, "weight_decay": 0.0, "betas": (0.8, 0.95), "eps": 1e-6}):
    adamw.append({**attrs, "after": run(lambda groups: torch.optim.AdamW(groups, **attrs))})
halving = {"lr": 0.01, "weight_decay": 0.05}
adamw.append({**halving, "lrPerStep": [0.01 / 2**s for s in range(STEPS)],
              "after": run(lambda groups: torch.optim.AdamW(groups, **halving), lambda step, lr: lr / 2**step)})

sgd = []
for momentum, decay, nesterov in ((0, 0, False), (0, 0.1, False), (0.9, 0, False), (0.9, 0.1, False), (0.9, 0, True), (0.9, 0.1, True)):
    attrs = {"lr": 0.1, "momentum": momentum, "weight_decay": decay, "nesterov": nesterov}
    sgd.append({**attrs, "after": run(lambda groups: torch.optim.SGD(groups, **attrs))})

lamb = []
for attrs in ({"lr": 1e-2, "weight_decay": 0.05, "max_grad_norm": None}, {"lr": 0.1, "weight_decay": 0.3, "max_grad_norm": 0.5}, {"lr": 0.01, "weight_decay": 0.0, "max_grad_norm": None, "betas": (0.8, 0.95)}):
    lamb.append({**attrs, "after": run(lambda groups: Lamb(groups, **attrs))})

# Parameters and running statistics alike; the integer counter num_batches_tracked is left out.
model = fill_model(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)))
values = lambda m: {n: numbers(v) for n, v in m.state_dict().items() if v.is_floating_point()}
ema = ModelEmaV2(model, decay=0.99)
start, seen, average = values(model), [], []
for step in range(STEPS):
    with torch.no_grad():
        for k, v in enumerate(v for v in model.state_dict().values() if v.is_floating_point()):
            v.copy_(fill(v.shape, 100 * (step + 1) + k, 1.0))
    ema.update(model)
    seen.append(values(model))
    average.append(values(ema.module))

write("optimizers.json", {
    "start": {name: numbers(p) for name, p in parameters().items()},
    "gradients": [{name: numbers(g) for name, g in gradients(step).items()} for step in range(STEPS)],
    "decayed": ["weight"], "adamw": adamw, "sgd": sgd, "lamb": lamb,
    "ema": {"decay": 0.99, "start": start, "model": seen, "average": average}})
