"""What timm, torchvision and DeiT's sampler choose when their random numbers are given -> sampling.json.
Every case has the numbers that were drawn, in order: `u` in [0, 1), from which an integer below n is floor(u n) and a uniform number is
low + (high - low) u, and standard normal ones. Run: python sampling.py"""
import contextlib
import json
import math
import random
import types

import common  # before timm
import numpy as np
import timm
import torch
import torchvision
from PIL import Image
from timm.data import auto_augment as aa, distributed_sampler, mixup, random_erasing, transforms
from torchvision.transforms import ColorJitter
from torchvision.transforms.functional import _compute_resized_output_size

rng = random.Random(20)


class Recorder:
    """Stands for the modules `random` and `numpy.random`."""

    def __init__(self):
        self.drawn = []

    def random(self):
        self.drawn.append(round(rng.random(), 6))
        return self.drawn[-1]

    def below(self, n):
        return math.floor(self.random() * n)

    def uniform(self, low, high):
        return low + (high - low) * self.random()

    def randint(self, low, high):
        return low + self.below(high - low + 1)

    def gauss(self, mu, sigma):
        self.drawn.append(round(rng.gauss(0, 1), 6))
        return mu + sigma * self.drawn[-1]

    def choice(self, values, count=None, replace=True, p=None):
        assert replace and p is None
        return values[self.below(len(values))] if count is None else [values[self.below(len(values))] for _ in range(count)]


# --- RandAugment and AutoAugment: operations as they reach Pillow -----------------------------------------------------------------------
calls = []


class Paper:
    """An image that writes down what is done to it."""
    size, mode = (40, 30), "RGB"

    def log(self, *call):
        calls.append(list(call))
        return self

    def filter(self, radius):
        return self.log("GaussianBlur", radius)

    def point(self, table):
        return self.log("SolarizeAdd", table[0])


enhancer = lambda name: lambda image: types.SimpleNamespace(enhance=lambda factor: image.log(name, factor))
aa.ImageOps = types.SimpleNamespace(
    autocontrast=lambda i: i.log("AutoContrast"), equalize=lambda i: i.log("Equalize"), invert=lambda i: i.log("Invert"),
    solarize=lambda i, t: i.log("Solarize", t), posterize=lambda i, bits: i.log("Posterize", max(0, bits)))  # below 0 is black as 0 is
aa.ImageEnhance = types.SimpleNamespace(**{name: enhancer(name) for name in ("Color", "Contrast", "Brightness", "Sharpness")})
aa.ImageFilter = types.SimpleNamespace(GaussianBlur=lambda radius: radius)
for name in ("Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"):
    aa.NAME_TO_OP[name] = lambda image, v, name=name, **_: image.log(name, v)


@contextlib.contextmanager
def drawing(module):
    recorder = Recorder()
    kept, kept_choice = module.random, np.random.choice
    module.random, np.random.choice = recorder, recorder.choice
    yield recorder
    module.random, np.random.choice = kept, kept_choice


def run(transform):
    calls.clear()
    with drawing(aa) as recorder:
        transform(Paper())
    return recorder.drawn, [list(call) for call in calls]


NAMES = [*dict.fromkeys(aa._RAND_TRANSFORMS + aa._RAND_INCREASING_TRANSFORMS + ["PosterizeOriginal", "Desaturate", "GaussianBlurRand"])]
hparams = {"translate_const": 100, "img_mean": (124, 116, 104), "interpolation": Image.Resampling.BICUBIC, "magnitude_max": 30}
levels = []
for name in NAMES:
    for m in (0, 0.5, 1, 2.49, 2.5, 3, 5, 7.123456789, 8.999, 9, 9.5, 9.99, 10, 10.01, 12.5, 15, 20, 29.9, 30):
        for _ in range(2):
            levels.append([name, m, *run(aa.AugmentOp(name, prob=1, magnitude=m, hparams=hparams))])

hparams.pop("magnitude_max")
policies = {name: [[[op.name, op.prob, op.magnitude] for op in policy] for policy in aa.auto_augment_policy(name, dict(hparams))]
            for name in ("original", "originalr", "v0", "v0r", "3a")}
auto = []
for text, count in (("rand-m9-mstd0.5-inc1", 100), ("rand", 20), ("rand-m9-n3-mstd0.5", 40), ("rand-mstd1-m7-n4-mmax20-p0.8-inc1", 40), ("rand-m15-mstd101-mmax30-inc1", 30),
                    ("rand-m12-mmax0-p1-n1-inc0", 20), ("original", 60), ("original-mstd0.5", 60), ("originalr", 40), ("v0", 60), ("v0r-mstd0.3", 40), ("3a", 30)):
    make = aa.rand_augment_transform if text.startswith("rand") else aa.auto_augment_transform
    transform = make(text, dict(hparams))
    auto += [[text, *run(transform)] for _ in range(count)]

# --- Boxes ------------------------------------------------------------------------------------------------------------------------------
crops = []
for i in range(300):
    height, width = rng.choice([(32, 32), (224, 224), (375, 500), (500, 333), (20, 400), (400, 21), (3, 3), (rng.randint(8, 600), rng.randint(8, 600))])
    scale, ratio = rng.choice([((0.08, 1.0), (3 / 4, 4 / 3)), ((0.08, 1.0), (3 / 4, 4 / 3)), ((0.5, 0.9), (0.3, 4.0)), ((1.0, 1.0), (0.2, 0.9))])
    with drawing(transforms) as recorder:
        box = transforms.RandomResizedCropAndInterpolation.get_params(Image.new("L", (width, height)), scale, ratio)
    if min(box[2:]) > 0:
        crops.append([height, width, scale, ratio, recorder.drawn, box])


class Canvas:
    def __init__(self):
        self.boxes = []

    def __setitem__(self, key, value):
        _, y, x = key
        self.boxes.append([y.start, x.start, y.stop - y.start, x.stop - x.start])


erasing = []
for i in range(300):
    prob, count = rng.choice([(0.25, 1), (1.0, 1), (1.0, 3), (0.9, 4)])
    height, width = rng.choice([(32, 32), (224, 224), (12, 40), (5, 60), (384, 384)])
    canvas = Canvas()
    eraser = random_erasing.RandomErasing(prob, mode="const", max_count=count, device="cpu")
    with drawing(random_erasing) as recorder:
        eraser._erase(canvas, 3, height, width, torch.float32)
    erasing.append([prob, count, height, width, recorder.drawn, canvas.boxes])

jitter = [[amount, ColorJitter(amount, amount, amount).brightness] for amount in (0.3, 0.4, 1.0, 1.5)]
resizes = [[h, w, s, _compute_resized_output_size((h, w), [s])] for h, w, s in ((375, 500, 224), (500, 333, 224), (32, 32, 40), (17, 300, 9), (300, 17, 10), (224, 224, 224), (401, 399, 192))]

# --- The sampler ------------------------------------------------------------------------------------------------------------------------
samplers = []
for n, epoch, repeats, sizes in ((600, 0, 3, (1, 2, 3, 4, 8)), (257, 3, 3, (1, 4)), (512, 1, 2, (1, 3)), (100, 2, 3, (1, 4, 7))):
    ranks = {}
    for replicas in sizes:
        ranks[replicas] = []
        for rank in range(replicas):
            sampler = distributed_sampler.RepeatAugSampler(range(n), replicas, rank, num_repeats=repeats, selected_round=256 if n >= 256 else 1)
            sampler.set_epoch(epoch)
            ranks[replicas].append(list(sampler))
    samplers.append([torch.randperm(n, generator=torch.Generator().manual_seed(epoch)).tolist(), repeats, ranks])


# --- Mixing -----------------------------------------------------------------------------------------------------------------------------
def even_box(shape, lam, margin=0.0, count=None):  # timm 0.3.2's, which the released models were trained with
    ratio = np.sqrt(1 - lam)
    height, width = shape[-2:]
    half_h, half_w = int(height * ratio) // 2, int(width * ratio) // 2
    cy, cx = np.random.randint(height), np.random.randint(width)
    return np.clip(cy - half_h, 0, height), np.clip(cy + half_h, 0, height), np.clip(cx - half_w, 0, width), np.clip(cx + half_w, 0, width)


mixup.rand_bbox = even_box
SHAPE = (1, 5, 6)
mixes = []
for i in range(80):
    mode = ("batch", "pair", "elem", "half")[i % 4]
    batch = rng.choice([2, 4, 6])
    settings = dict(rng.choice([
        dict(mixup=0.8, cutmix=1.0), dict(mixup=0.8, cutmix=1.0), dict(mixup=0.8, cutmix=0.0), dict(mixup=0.0, cutmix=0.5), dict(mixup=0.8, cutmix=1.0, cutmixMinmax=[0.2, 0.9])]))
    settings |= dict(mixProb=rng.choice([1.0, 0.6]), mixSwitchProb=rng.choice([0.5, 0.7]), mixMode=mode)
    both = settings["mixup"] > 0 and (settings["cutmix"] > 0 or "cutmixMinmax" in settings)
    count = {"batch": 1, "pair": batch // 2, "elem": batch, "half": batch // 2}[mode]
    table = {key: [round(rng.random(), 6) for _ in range(count)] for key in ("apply", "switch", "cutmix", "mixup")}
    ints = []
    # In which order timm asks: a batch first whether to mix at all, elements last.
    order = iter((["apply", "switch"] if mode == "batch" else ["switch", "apply"]) if both else ["apply"])
    one_or_all = lambda values, size: values[0] if size is None else np.array(values)

    def randint(low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        ints.append(round(rng.random(), 6))
        return low + math.floor(ints[-1] * (high - low))

    alpha = 1.0 if "cutmixMinmax" in settings else settings["cutmix"]
    kept = np.random.rand, np.random.beta, np.random.randint
    np.random.rand = lambda size=None: one_or_all(table[next(order)], size)
    np.random.beta = lambda a, b, size=None: one_or_all(table["cutmix" if a == alpha else "mixup"], size)
    np.random.randint = randint
    images = (np.arange(batch * 30).reshape(batch, *SHAPE) * 37 % 251).astype(np.uint8)
    labels = [rng.randrange(4) for _ in range(batch)]
    make = mixup.FastCollateMixup if mode == "half" else mixup.Mixup
    mixer = make(settings["mixup"], settings["cutmix"], settings.get("cutmixMinmax"), settings["mixProb"], settings["mixSwitchProb"], mode, label_smoothing=0.1, num_classes=4)
    if mode == "half":
        x, target = mixer([(images[b].copy(), labels[b]) for b in range(batch)])
    else:
        x, target = mixer(torch.from_numpy(images).float(), torch.tensor(labels))
    np.random.rand, np.random.beta, np.random.randint = kept
    digits = lambda t: [round(v, 4) for v in t.double().flatten().tolist()]
    mixes.append([settings, labels, table, ints, digits(x), [round(v, 6) for v in target.double().flatten().tolist()]])

lines = lambda rows: "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]"
recorded = {"timm": timm.__version__, "torchvision": torchvision.__version__, "script": "sampling.py"}
tables = dict(levels=levels, auto=auto, crops=crops, erasing=erasing, jitter=jitter, resizes=resizes, samplers=samplers, mixes=mixes)
text = "{" + ",\n".join([f'"recordedWith":{json.dumps(recorded)}', f'"policies":{json.dumps(policies, separators=(",", ":"))}'] + [f'"{name}":{lines(rows)}' for name, rows in tables.items()]) + "}\n"
json.loads(text)
(common.HERE / "sampling.json").write_text(text)
print("sampling.json", len(text), {name: len(rows) for name, rows in tables.items()})
