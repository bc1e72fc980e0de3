"""Losses of DeiT and their gradients -> losses.json. Base losses are timm's; distillation is written from the official
formulas (Touvron et al. 2021; KL summed, times tau^2, over batch times classes). Run: python losses.py"""
import common
import torch
import torch.nn.functional as F
from common import fill, numbers, write
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy


def mixed_target(labels, classes, smoothing, lam):
    """timm's target: smoothed one-hot, mixed with that of the reversed batch."""
    off = smoothing / classes
    one = torch.full((len(labels), classes), off, dtype=torch.float64).scatter_(1, labels[:, None], 1 - smoothing + off)
    return lam * one + (1 - lam) * one.flip(0)


def distillation(kind, student, teacher, tau):
    if kind == "hard":
        return F.cross_entropy(student, teacher.argmax(1))
    log_p, log_t = F.log_softmax(student / tau, 1), F.log_softmax(teacher / tau, 1)
    return F.kl_div(log_p, log_t, reduction="sum", log_target=True) * tau**2 / student.numel()


def cases(z, zk, teacher, labels):
    B, K = z.shape
    target = mixed_target(labels, K, 0.1, 0.3)
    bases = [("ce", {"labelSmoothing": 0}, lambda x: F.cross_entropy(x, labels)),
             ("ce", {"labelSmoothing": 0.1}, lambda x: LabelSmoothingCrossEntropy(0.1)(x, labels)),
             ("soft-target", {}, lambda x: SoftTargetCrossEntropy()(x, target))]
    kinds = [("none", 0.5, 1.0), ("soft", 0.1, 3.0), ("soft", 0.5, 1.0), ("soft", 0.9, 20.0), ("soft", 1.0, 2.0), ("hard", 0.5, 1.0), ("hard", 0.0, 1.0)]
    for base, attrs, f in bases:
        for kind, alpha, tau in kinds:
            a, b = z.clone().requires_grad_(), zk.clone().requires_grad_()
            loss = f(a) if kind == "none" else f(a) * (1 - alpha) + alpha * distillation(kind, b, teacher, tau)
            loss.backward()
            db = torch.zeros_like(b) if b.grad is None else b.grad
            yield {"base": base, **attrs, "distillation": kind, "alpha": alpha, "tau": tau, "loss": numbers(loss),
                   "dlogits": numbers(a.grad), "ddist": numbers(db)}


def group(z, zk, teacher, labels):
    K = z.shape[1]
    return {"logits": numbers(z), "dist": numbers(zk), "teacher": numbers(teacher), "labels": labels.tolist(),
            "target": numbers(mixed_target(labels, K, 0.1, 0.3)), "cases": list(cases(z, zk, teacher, labels))}


f64 = torch.float64
# Two rows that can be checked by hand, and a batch with a large spread of logits.
small = group(torch.tensor([[1, 2, 3, 0], [.5, -1, 0, 2]], dtype=f64), torch.tensor([[.2, .1, 1.5, -.3], [1, 0, -.5, .7]], dtype=f64),
              torch.tensor([[0, 1, 2.5, -1], [2, -1, 0, 1.5]], dtype=f64), torch.tensor([2, 0]))
wide = group(fill((4, 10), 1, 12), fill((4, 10), 2, 12), fill((4, 10), 3, 12), torch.tensor([3, 0, 9, 3]))
single = group(fill((3, 4), 4, 2), fill((3, 4), 5, 2), fill((3, 4), 6, 2), torch.tensor([1, 2, 3]))
if __name__ == "__main__":
    write("losses.json", {"groups": {"small": small, "wide": wide, "odd batch": single}})
