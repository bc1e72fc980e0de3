"""Pillow's image operations as timm calls them -> augment.json.
`results` has a row per list of operations and a column per image: the first 16 hex digits of the SHA-256 of (height, width, bytes), or
null where Pillow pads and this project refuses. `random` are further pairs with arguments from a generator, `full` some outputs as
base64, `levels` timm's arguments by level. Run: python augment.py"""
import base64
import hashlib
import importlib.util
import json
import pathlib
import random

import numpy as np
import PIL
from PIL import Image, ImageFilter

HERE = pathlib.Path(__file__).parent
FILL = (124, 116, 104)

# The file alone: the package around it wants torchvision.
root = pathlib.Path(importlib.util.find_spec("timm").origin).parent
spec = importlib.util.spec_from_file_location("auto_augment", root / "data" / "auto_augment.py")
aa = importlib.util.module_from_spec(spec)
spec.loader.exec_module(aa)


def noise(count, k):
    """Bytes: the high ones of fill.ts's hash."""
    h = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32((k * 0x85EBCA6B) % 2**32)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return (h >> np.uint32(24)).astype(np.int64)


def picture(kind, height, width, k):
    v = noise(3 * height * width, k).reshape(height, width, 3)
    y, x = np.mgrid[:height, :width]
    if kind == "constant":
        v = np.broadcast_to(noise(3, k), v.shape)
    elif kind == "gradient":
        v = np.stack([255 * x // max(1, width - 1), 255 - 255 * y // max(1, height - 1), (7 * x + 3 * y) % 256], axis=2)
    elif kind == "narrow":  # few values, so that contrast has something to stretch
        v = 100 + v % 41
    elif kind == "bright":  # one bin holds most
        v = np.where(v < 200, 255, v - 200)
    elif kind == "photo":  # smooth with edges and a little noise
        v = np.stack([(x * 5 + y * 2) % 256, np.where(x * height > y * width, 220, 40) + v[:, :, 1] % 16, (x * x + y * y) // 7 % 256], axis=2)
    return Image.fromarray(v.astype(np.uint8))


def apply(image, op):
    args = {key: value for key, value in op.items() if key != "op"}
    name = op["op"]
    if name == "hflip":
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if name == "GaussianBlur":
        return image.filter(ImageFilter.GaussianBlur(args["radius"]))
    if name == "crop":  # torchvision's padding, then its crop
        top, left, height, width = (args[key] for key in ("top", "left", "height", "width"))
        if args["outside"] == "reflect":
            pad = 64
            image = Image.fromarray(np.pad(np.asarray(image), ((pad, pad), (pad, pad), (0, 0)), mode="reflect"))
            top, left = top + pad, left + pad
        return image.crop((left, top, left + width, top + height))
    if name == "resize":
        return image.resize((args["width"], args["height"]), Image.Resampling.BICUBIC)
    if name == "resizedCrop":
        top, left, height, width, size = (args[key] for key in ("top", "left", "height", "width", "size"))
        if top + height > image.height or left + width > image.width:
            return None
        return image.crop((left, top, left + width, top + height)).resize((size, size), Image.Resampling.BICUBIC)
    if name == "centerCrop":  # torchvision's rounding
        size = args["size"]
        if size > image.height or size > image.width:
            return None
        top, left = int(round((image.height - size) / 2.0)), int(round((image.width - size) / 2.0))
        return image.crop((left, top, left + size, top + size))
    return aa.NAME_TO_OP[name](image, *args.values(), fillcolor=FILL, resample=Image.Resampling.BICUBIC)


def apply_all(image, ops):
    for op in ops:
        image = image and apply(image, op)
    return image


def digest(image):
    if image is None:
        return None
    return hashlib.sha256(f"{image.height}x{image.width}:".encode() + image.tobytes()).hexdigest()[:16]


ARGUMENT = {"Rotate": "degrees", "Posterize": "bits", "Solarize": "threshold", "SolarizeAdd": "add", "TranslateXRel": "fraction",
            "TranslateYRel": "fraction", **{name: "factor" for name in ("Color", "Contrast", "Brightness", "Sharpness", "ShearX", "ShearY")}, "GaussianBlur": "radius"}
VALUES = {
    "Rotate": [0, 27, -27, 30, -13.7, 45, 90, 180, 270, 360, -90, 1e-9, 89.999, 725.5],
    "Posterize": list(range(9)),
    "Solarize": [0, 1, 26, 128, 255, 256],
    "SolarizeAdd": [0, 1, 99, 110, 128, 255],
    "Color": [0, 0.1, 0.19, 0.5, 1, 1.81, 1.9, 3.3, -0.5],
    "ShearX": [0, 0.27, -0.27, 0.3, -0.111, 1.5],
    "TranslateXRel": [0, 0.405, -0.405, 0.45, -1 / 3, 0.5, 1],
}
VALUES |= {name: VALUES["Color"] for name in ("Contrast", "Brightness", "Sharpness")}
VALUES |= {"ShearY": VALUES["ShearX"], "TranslateYRel": VALUES["TranslateXRel"]}

ops = [[{"op": name}] for name in ("AutoContrast", "Equalize", "Invert", "hflip")]
ops += [[{"op": name, ARGUMENT[name]: value}] for name, values in VALUES.items() for value in values]
ops += [[{"op": "resize", "height": h, "width": w}] for h, w in ((1, 1), (7, 5), (32, 32), (64, 20), (33, 47), (50, 9))]
ops += [[{"op": "resizedCrop", "top": t, "left": l, "height": h, "width": w, "size": s}]
        for t, l, h, w, s in ((0, 0, 1, 1, 4), (3, 5, 20, 24, 32), (0, 0, 32, 32, 32), (1, 0, 4, 3, 16), (10, 2, 17, 30, 8))]
ops += [[{"op": "centerCrop", "size": s}] for s in (1, 3, 8, 31, 32, 33)]
ops += [[{"op": "GaussianBlur", "radius": r}] for r in (0, 0.1, 0.3, 0.5, 0.7071, 1, 1.2345678, 1.5, 1.9999, 2, 3.7, 11)]
ops += [[{"op": "crop", "top": t, "left": l, "height": h, "width": w, "outside": o}]
        for o in ("zero", "reflect") for t, l, h, w in ((-4, -4, 32, 32), (4, 3, 32, 32), (0, -2, 5, 9), (-30, 20, 40, 40), (1, 1, 1, 1))]
ops += [
    [{"op": "Rotate", "degrees": 27}, {"op": "Solarize", "threshold": 26}, {"op": "resizedCrop", "top": 0, "left": 0, "height": 1, "width": 1, "size": 3}],
    [{"op": "resize", "height": 24, "width": 24}, {"op": "hflip"}, {"op": "Equalize"}, {"op": "Sharpness", "factor": 1.81}, {"op": "centerCrop", "size": 15}],
    [{"op": "resize", "height": 19, "width": 40}, {"op": "Rotate", "degrees": -21.25}, {"op": "Color", "factor": 0.19}, {"op": "AutoContrast"}, {"op": "ShearX", "factor": 0.2}],
]

SIZES = [(1, 1), (1, 7), (7, 1), (2, 2), (5, 3), (32, 32), (33, 47)]
images = [[kind, h, w, 1 + i] for i, (h, w) in enumerate(SIZES) for kind in ("constant", "noise", "gradient", "narrow", "bright", "photo")]
pictures = [picture(*image) for image in images]
results = [[digest(apply_all(p, row)) for p in pictures] for row in ops]

rng = random.Random(5)
RANGE = {"Rotate": (-400, 400), "ShearX": (-0.5, 0.5), "ShearY": (-0.5, 0.5), "TranslateXRel": (-0.6, 0.6), "TranslateYRel": (-0.6, 0.6),
         "Color": (0, 2), "Contrast": (0, 2), "Brightness": (0, 2), "Sharpness": (0, 2), "GaussianBlur": (0.1, 2)}
drawn = []
for i in range(600):
    name = list(RANGE)[i % len(RANGE)]
    image = [rng.choice(["noise", "photo", "narrow", "bright"]), rng.randint(1, 40), rng.randint(1, 40), i]
    op = [{"op": name, ARGUMENT[name]: rng.uniform(*RANGE[name])}]
    drawn.append([image, op, digest(apply_all(picture(*image), op))])
for name, value in (("Rotate", -27), ("Sharpness", 1.81), ("ShearY", 0.27), ("Contrast", 0.19), ("GaussianBlur", 1.3)):  # one at DeiT's own size
    image, op = ["photo", 224, 224, 9], [{"op": name, ARGUMENT[name]: value}]
    drawn.append([image, op, digest(apply_all(picture(*image), op))])

full = []
for row in ops[:4] + ops[5:60:9] + ops[-1:]:
    image = ["photo", 5, 9, 3]
    out = apply_all(picture(*image), row)
    full.append([image, row, out.height, out.width, base64.b64encode(out.tobytes()).decode()])

# Arguments by level, for either sign where the sign is drawn (timm negates above one half).
levels = {}
for name in aa._RAND_INCREASING_TRANSFORMS + [n for n in aa._RAND_TRANSFORMS if n not in aa._RAND_INCREASING_TRANSFORMS]:
    to_argument = aa.LEVEL_TO_ARG[name]
    if to_argument is None:
        continue
    rows = []
    for level in [0.0, 0.5, 2.49, 2.5, 5.0, 7.123456789, 8.999, 9.0, 9.5, 9.99, 10.0]:
        row = [level]
        for u in (0.25, 0.75):
            aa.random.random = lambda u=u: u
            value = to_argument(level, {})
            row.append(value[0] if isinstance(value, tuple) else value)
        rows.append(row)
    levels[name] = rows

lines = lambda rows: "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]"
recorded = {"pillow": PIL.__version__, "script": "augment.py"}
parts = [f'"recordedWith":{json.dumps(recorded)}'] + [f'"{name}":{lines(rows)}' for name, rows in
         (("images", images), ("ops", ops), ("results", results), ("random", drawn), ("full", full))] + [f'"levels":{json.dumps(levels, separators=(",", ":"))}']
text = "{" + ",\n".join(parts) + "}\n"
json.loads(text)
(HERE / "augment.json").write_text(text)
print("augment.json", len(text), sum(r is not None for row in results for r in row) + len(drawn), "results")
