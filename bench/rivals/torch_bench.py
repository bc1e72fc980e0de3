"""PyTorch's side of the benchmark: a process that prepares a case, runs it so many times, and hands its results over.

Requests are lines of JSON on stdin, answers lines of JSON on stdout; arrays go through files of little-endian f32.
"""
import json
import sys

import numpy as np
import torch
import torch.nn.functional as F


def load(spec):
    data = np.fromfile(spec["file"], "<f4")
    return {a["name"]: torch.from_numpy(data[a["at"]:a["at"] + a["size"]].reshape(a["shape"]).copy()) for a in spec["arrays"]}


def attention(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)


def operation(work, t):
    op = work["op"]
    if op == "matmul":
        return lambda a, b: a @ b
    if op == "linear":
        return F.linear
    if op == "softmax":
        return lambda x: x.softmax(-1)
    if op == "gelu":
        return F.gelu
    if op == "layerNorm":
        return lambda x, w, b: F.layer_norm(x, (work["n"]["D"],), w, b, 1e-6)
    if op == "attention":
        return attention
    if op == "conv2d":
        return lambda x, w: F.conv2d(x, w, None, work["attrs"]["stride"], work["attrs"]["padding"], 1, work["attrs"]["groups"])
    if op == "patchEmbed":
        return lambda x, w, b: F.conv2d(x, w, b, work["n"]["p"]).flatten(2).transpose(1, 2)
    if op == "batchNorm":
        return lambda x, w, b: F.batch_norm(x, None, None, w, b, True)
    if op == "crossEntropy":
        target = t["target"]
        return lambda logits: F.cross_entropy(logits, target)
    raise ValueError(f"no operation {op}")


def deit(p, x, c):
    def dense(name, t):
        return F.linear(t, p[name + ".weight"], p[name + ".bias"])

    def norm(name, t):
        return F.layer_norm(t, (c["dim"],), p[name + ".weight"], p[name + ".bias"], 1e-6)

    B, H = x.shape[0], c["heads"]
    t = F.conv2d(x, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], c["patchSize"]).flatten(2).transpose(1, 2)
    tokens = [p["cls_token"]] + ([p["dist_token"]] if c["distilled"] else [])
    t = torch.cat([token.expand(B, -1, -1) for token in tokens] + [t], 1) + p["pos_embed"]
    N, D = t.shape[1:]
    for i in range(c["depth"]):
        b = f"blocks.{i}."
        q, k, v = dense(b + "attn.qkv", norm(b + "norm1", t)).reshape(B, N, 3, H, D // H).permute(2, 0, 3, 1, 4)
        t = t + dense(b + "attn.proj", attention(q, k, v).transpose(1, 2).reshape(B, N, D))
        t = t + dense(b + "mlp.fc2", F.gelu(dense(b + "mlp.fc1", norm(b + "norm2", t))))
    t = norm("norm", t[:, :len(tokens)])
    return dense("head", t[:, 0]), dense("head_dist", t[:, 1]) if c["distilled"] else None


def mean_logits(heads):
    cls, dist = heads
    return cls if dist is None else (cls + dist) / 2


def prepare(spec):
    """Returns a function that does the work once and returns its results."""
    work, t = spec["work"], load(spec)
    if work["op"] == "adamw":
        r, w = work["recipe"], t["params"].requires_grad_()
        w.grad = t["grads"]
        optimizer = torch.optim.AdamW([w], r["lr"], (r["beta1"], r["beta2"]), r["eps"], r["weightDecay"])

        def update():
            optimizer.step()
            return [w.detach()]
        return update
    if work["op"] == "forward":
        if work["config"]["arch"] != "deit":
            raise ValueError("not written here: RegNetY")
        x = t.pop("x")

        def infer():
            with torch.inference_mode():
                return [mean_logits(deit(t, x, work["config"]))]
        return infer
    if work["op"] == "train":
        return training(work, t)
    f, dy = operation(work, t), t.pop("dy", None)
    inputs = [a for name, a in t.items() if name != "target"]
    if not spec["backward"]:
        def forward():
            with torch.inference_mode():
                return [f(*inputs)]
        return forward
    for a in inputs:
        a.requires_grad_()

    def both():
        y = f(*inputs)
        return [y.detach(), *torch.autograd.grad(y, inputs, dy)]
    return both


def training(work, t):
    r, x, target, teacher = work["recipe"], t.pop("x"), t.pop("target"), t.pop("teacherLogits", None)
    for a in t.values():
        a.requires_grad_()
    decayed = set(work["decayed"])
    groups = [{"params": [a for n, a in t.items() if n in decayed], "weight_decay": r["weightDecay"]},
              {"params": [a for n, a in t.items() if n not in decayed], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, r["lr"], (r["beta1"], r["beta2"]), r["eps"])

    def step():
        optimizer.zero_grad()
        cls, dist = deit(t, x, work["config"])
        loss = F.cross_entropy(cls, target)
        if teacher is not None:
            loss = (1 - r["alpha"]) * loss + r["alpha"] * F.cross_entropy(dist, teacher.argmax(-1))
        loss.backward()
        optimizer.step()
        return [loss.detach()]
    return step


def main():
    torch.set_num_threads(int(sys.argv[1]))
    print(json.dumps({"version": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    work, latest = None, []
    for line in sys.stdin:
        request = json.loads(line)
        answer = {}
        try:
            if request["do"] == "prepare":
                work, latest = prepare(request), []
            elif request["do"] == "run":
                for _ in range(request["times"]):
                    latest = work()
            elif request["do"] == "result":
                arrays = [a.contiguous().numpy().astype("<f4").ravel() for a in latest]
                np.concatenate(arrays).tofile(request["file"])
                answer = {"sizes": [a.size for a in arrays]}
            else:
                work, latest = None, []
        except Exception as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


main()
