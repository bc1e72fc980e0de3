"""Nearest neighbours, recall at 1 and a linear probe on features by the rule of fill.ts, in f64 -> knn.json. Run: python knn.py"""
import math

import common
import torch
from torch.nn import functional as F

TRAIN, TEST, D, K = 90, 60, 12, 7


def features(count, k):
    """Random rows, the classes' directions added."""
    labels = torch.arange(count) % K
    return (common.fill((count, D), k, 1.0) + 0.4 * common.fill((K, D), 3, 1.0)[labels]).float().double(), labels


def knn(a, la, b, lb, k, tau, leave_out):
    similarity = F.normalize(b, dim=1) @ F.normalize(a, dim=1).T
    if leave_out:
        similarity.fill_diagonal_(-math.inf)
    best, at = similarity.topk(k, dim=1)
    votes = torch.zeros(len(lb), K, dtype=torch.double).scatter_add_(1, la[at], (best / tau).exp())
    order = votes.argsort(dim=1, descending=True, stable=True)
    return {"k": k, "tau": tau, "leaveOut": leave_out, "top1": int((order[:, 0] == lb).sum()), "top5": int((order[:, :5] == lb[:, None]).sum()),
            "recall1": int((la[at[:, 0]] == lb).sum())}


def probe(a, la, b, lb, steps=100, rate=0.003, decay=0.01):
    head = torch.nn.Linear(D, K).double()
    torch.nn.init.zeros_(head.weight), torch.nn.init.zeros_(head.bias)
    optimizer = torch.optim.AdamW([{"params": [head.weight], "weight_decay": decay}, {"params": [head.bias], "weight_decay": 0}], lr=rate)
    for t in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.5 * rate * (1 + math.cos(math.pi * t / steps))
        optimizer.zero_grad()
        F.cross_entropy(head(a), la).backward()
        optimizer.step()
    order = head(b).argsort(dim=1, descending=True)
    return {"top1": int((order[:, 0] == lb).sum()), "top5": int((order[:, :5] == lb[:, None]).sum()), "loss": F.cross_entropy(head(b), lb).item()}


def components(a):
    """Of columns of falling size, so that each is the only one of its variance."""
    a = a * 0.8 ** torch.arange(D)
    _, _, v = torch.linalg.svd(a - a.mean(0), full_matrices=False)
    v = v[:3]
    return common.numbers(v * v.gather(1, v.abs().argmax(1, keepdim=True)).sign())


(a, la), (b, lb) = features(TRAIN, 1), features(TEST, 2)
common.write("knn.json", {
    "train": common.numbers(a.reshape(-1), 9), "test": common.numbers(b.reshape(-1), 9), "classes": K, "width": D,
    "knn": [knn(a, la, b, lb, 20, 0.07, False), knn(a, la, b, lb, 1, 0.07, False), knn(b, lb, b, lb, 5, 0.2, True)],
    "probe": probe(a, la, b, lb), "components": components(a),
})
