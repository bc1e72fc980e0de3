"""Some rows of the experiments in PyTorch and timm: the same settings, data files, initial weights and teachers.

Reads settings.json and writes results.json beside it, both in the folder "pytorch" of the experiments' results, where the tables look for them.
A run that results.json has is not repeated; a stop loses the run at hand only.
Run: python train.py FOLDER [threads]"""
import json
import math
import pathlib
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file

# timm imports torchvision, whose compiled operators are not needed here; without them the import asks for these two names.
_stub = torch.library.Library("torchvision", "FRAGMENT")
if not hasattr(torch.ops.torchvision, "nms"):
    for name in ("nms", "qnms"):
        _stub.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import timm
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer

MEAN = torch.tensor([0.49139968, 0.48215841, 0.44653091]).view(1, 3, 1, 1)
STD = torch.tensor([0.24703223, 0.24348513, 0.26158784]).view(1, 3, 1, 1)
EVALUATED = 500  # pictures at a time
MADE_OF = {"optimizer": "adamw", "autoAugment": None, "mixup": 0, "cutmix": 0, "erasing": 0, "repeats": 1, "dropPath": 0, "trainOnly": "all"}


def pictures(path):
    """CIFAR-10 records: a label, then (3, 32, 32) bytes."""
    records = torch.from_numpy(np.fromfile(path, dtype=np.uint8).reshape(-1, 3073).copy())
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].long()


def normalized(images):
    return (images.float() / 255 - MEAN) / STD


def make(config):
    kind = VisionTransformerDistilled if config.get("distilled") else VisionTransformer
    model = kind(img_size=config["imgSize"], patch_size=config["patchSize"], embed_dim=config["dim"], depth=config["depth"], num_heads=config["heads"], num_classes=config["numClasses"])
    torch.nn.init.normal_(model.cls_token, std=0.02)  # as the released code; timm has 1e-6 today
    return model


def weights_into(model, path, new_heads):
    """`new_heads`: the classifiers keep their initial values."""
    state = load_file(path)
    if new_heads:
        state = {name: value for name, value in state.items() if not name.startswith(("head.", "head_dist."))}
    missing, unexpected = model.load_state_dict(state, strict=False)
    left = [name for name in missing if not name.endswith("num_batches_tracked") and not (new_heads and name.startswith("head"))]
    assert not left and not unexpected, f"expected weights of the model in {path}, got {left + unexpected} too few or too many"


def regnety(path):
    """Forward of a trained RegNetY, by timm's names of parameters; timm's own class has four stages always, and a stem of stride 2."""
    state = load_file(path)
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["tessera_weights"])["config"]
    blocks = list(dict.fromkeys(".".join(name.split(".")[:2]) for name in state if name.startswith("s") and not name.startswith("stem")))

    def conv(name, x, stride=1, padding=0, groups=1):
        norm = [state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(F.conv2d(x, state[f"{name}.conv.weight"], None, stride, padding, 1, groups), *norm, eps=1e-5)

    def dense(name, x):
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def forward(x):
        x = conv("stem", x, config["stemStride"], 1).relu()
        for name in blocks:
            stage, block = (int(part[1:]) for part in name.split("."))
            stride = config["strides"][min(stage, len(config["strides"])) - 1] if block == 1 else 1
            kernel = state[f"{name}.conv2.conv.weight"]
            y = conv(f"{name}.conv1", x).relu()
            y = conv(f"{name}.conv2", y, stride, 1, len(kernel) // kernel.shape[1]).relu()
            y = y * dense(f"{name}.se.fc2", dense(f"{name}.se.fc1", y.mean((2, 3), keepdim=True)).relu()).sigmoid()
            y = conv(f"{name}.conv3", y)
            x = (y + (conv(f"{name}.downsample", x, stride) if f"{name}.downsample.conv.weight" in state else x)).relu()
        return F.linear(x.mean((2, 3)), state["head.fc.weight"], state["head.fc.bias"])

    return forward


def augmented(images, recipe):
    """Random crops of the zero-padded pictures, and mirrored ones; a draw for each picture."""
    n, padding = len(images), recipe["cropPadding"]
    if recipe["crop"] != "none":
        padded = F.pad(images, (padding,) * 4)
        windows = padded.unfold(2, 32, 1).unfold(3, 32, 1)
        y, x = torch.randint(2 * padding + 1, (2, n))
        images = windows[torch.arange(n), :, y, x]
    mirrored = torch.rand(n) < recipe["hflip"]
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)


def rate(recipe, t):
    """Of the schedule "step", at t epochs."""
    peak, warmup = recipe["lr"], recipe["warmupEpochs"]
    if t < warmup:
        return recipe["warmupLr"] + t * (peak - recipe["warmupLr"]) / warmup
    return recipe["minLr"] + 0.5 * (peak - recipe["minLr"]) * (1 + math.cos(math.pi * (t - warmup) / (recipe["epochs"] - warmup)))


def distance(logits, taught, recipe):
    """The teacher's term of the loss."""
    if recipe["distillation"] == "hard":
        return F.cross_entropy(logits, taught.argmax(1))
    tau = recipe["tau"]
    divergence = F.kl_div(F.log_softmax(logits / tau, 1), F.log_softmax(taught / tau, 1), reduction="sum", log_target=True)
    return divergence * tau**2 / (logits.numel() if recipe["reduction"] == "numel" else len(logits))


def loss_of(model, x, labels, teacher, recipe):
    out = model(x)
    cls, dist = out if isinstance(out, tuple) else (out, out)
    base = F.cross_entropy(cls, labels, label_smoothing=recipe["labelSmoothing"])
    if teacher is None:
        return base
    with torch.no_grad():
        taught = teacher(x)
    return (1 - recipe["alpha"]) * base + recipe["alpha"] * distance(dist, taught, recipe)


@torch.no_grad()
def judged(model, images, labels):
    """Shares of right answers; of a distilled model by head too."""
    model.eval()
    distilled = hasattr(model, "head_dist")
    right = {name: 0 for name in (("model", "cls", "dist") if distilled else ("model",))}
    for at in range(0, len(images), EVALUATED):
        x = model.forward_features(normalized(images[at : at + EVALUATED]))
        cls = model.head(x[:, 0])
        answers = {"model": cls}
        if distilled:
            dist = model.head_dist(x[:, 1])
            answers = {"model": (cls + dist) / 2, "cls": cls, "dist": dist}
        for name, logits in answers.items():
            right[name] += (logits.argmax(1) == labels[at : at + EVALUATED]).sum().item()
    return {name: count / len(images) for name, count in right.items()}


def run(settings):
    recipe = settings["recipe"]
    for name, value in MADE_OF.items():
        assert recipe[name] == value, f"expected {name} {value}, got {recipe[name]}: this script has no more than its rows need"
    torch.manual_seed(settings["seed"])
    model = make(settings["model"])
    if settings["initial"]:
        weights_into(model, settings["initial"], True)
    if hasattr(model, "head_dist"):
        model.set_distilled_training(True)
    teacher = regnety(settings["teacher"]) if settings["teacher"] else None
    images, labels = pictures(settings["train"])
    plain = lambda name, p: p.ndim < 2 or name in ("cls_token", "pos_embed")
    named = list(model.named_parameters())
    groups = [
        {"params": [p for name, p in named if plain(name, p)], "weight_decay": 0},
        {"params": [p for name, p in named if not plain(name, p)], "weight_decay": recipe["weightDecay"]},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe["lr"], betas=(recipe["beta1"], recipe["beta2"]), eps=recipe["eps"])
    batch = recipe["batchSize"]
    steps = len(images) // batch
    model.train()
    for epoch in range(recipe["epochs"]):
        order = torch.randperm(len(images))
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            for group in optimizer.param_groups:
                group["lr"] = rate(recipe, epoch + step / steps)
            loss = loss_of(model, normalized(augmented(images[chosen], recipe)), labels[chosen], teacher, recipe)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return judged(model, *pictures(settings["test"]))


def main(folder, threads=1):
    torch.set_num_threads(int(threads))
    folder = pathlib.Path(folder)
    path = folder / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {"runs": {}}
    results["versions"] = {"torch": torch.__version__, "timm": timm.__version__}
    for settings in json.loads((folder / "settings.json").read_text())["runs"]:
        runs = results["runs"].setdefault(settings["id"], {})
        seed = str(settings["seed"])
        if runs.get(seed, {}).get("of") == settings["of"]:
            continue
        started = time.time()
        top1 = run(settings)
        runs[seed] = {"of": settings["of"], "top1": top1, "seconds": round(time.time() - started, 1)}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(results, indent=1) + "\n")
        partial.replace(path)
        print(settings["id"], "seed", seed, top1, runs[seed]["seconds"], "s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
