"""Feature distillation by PyTorch: a linear map of the student's patches against the teacher's, which are interpolated to the student's grid
where it is another -> feature-loss.json. Run: python feature_loss.py"""
import common
import torch
import torch.nn.functional as F
from common import fill, numbers, write


def case(kind, patches, teachers):
    B, I, O = 3, 6, 5
    student, teacher = fill((B, patches, I), 1, 2), fill((B, teachers, O), 2, 2)
    weight, bias = fill((O, I), 3, 1), fill((O,), 4, 1)
    target = teacher
    if teachers != patches:
        side, to = round(teachers**0.5), round(patches**0.5)
        grid = teacher.permute(0, 2, 1).reshape(B, O, side, side)
        target = F.interpolate(grid, size=(to, to), mode="bicubic", align_corners=False).flatten(2).permute(0, 2, 1)
    for t in (student, weight, bias):
        t.requires_grad_()
    made = F.linear(student, weight, bias)
    loss = (1 - F.cosine_similarity(made, target, dim=-1)).mean() if kind == "cosine" else F.smooth_l1_loss(made, target)
    loss.backward()
    given = {"student": student, "teacher": teacher, "weight": weight, "bias": bias}
    return {"kind": kind, **{k: {"shape": list(v.shape), "values": numbers(v.detach().flatten())} for k, v in given.items()},
            "loss": numbers(loss), **{f"d{k}": numbers(given[k].grad.flatten()) for k in ("student", "weight", "bias")}}


write("feature-loss.json", {"cases": [case(kind, *sizes) for kind in ("cosine", "smooth-l1") for sizes in ((4, 4), (9, 4), (4, 16))]})
