"""timm's CosineLRScheduler driven as the official DeiT loop drives it -> schedule.json.
The loop builds the scheduler (which sets the warm-up rate), trains epoch e, then calls step(e): epoch 0 uses f(0), epoch e >= 1 uses
f(e - 1). `fixed` holds f(e) itself. Run: python schedule.py"""
import common
import torch
from common import write
from timm.scheduler import CosineLRScheduler


def schedule(epochs, peak, warmup, warmup_lr, min_lr):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler = CosineLRScheduler(optimizer, t_initial=epochs, lr_min=min_lr, warmup_t=warmup, warmup_lr_init=warmup_lr, cycle_limit=1)
    official, fixed = [], []
    for epoch in range(epochs):
        official.append(optimizer.param_groups[0]["lr"])
        scheduler.step(epoch)
        fixed.append(optimizer.param_groups[0]["lr"])
    scheduler.step(epochs)
    return {"epochs": epochs, "peak": peak, "warmupEpochs": warmup, "warmupLr": warmup_lr, "minLr": min_lr, "official": official,
            "fixed": fixed, "after": optimizer.param_groups[0]["lr"]}


write("schedule.json", {"cases": [
    schedule(300, 1e-3, 5, 1e-6, 1e-5),   # the paper's recipe at batch 1024
    schedule(30, 5e-6, 5, 1e-6, 5e-6),    # fine-tuning at 384
    schedule(12, 2.5e-4, 0, 1e-6, 1e-5),  # no warm-up
    schedule(3, 1e-3, 5, 1e-6, 1e-5),     # shorter than its warm-up
    schedule(1, 1e-3, 0, 1e-6, 0.0),
]})
