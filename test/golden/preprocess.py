"""Preprocessing protocols of bytes -> preprocess.json: DeiT's evaluation transform (torchvision), timm's, and Hugging Face's processors
on Pillow images (transformers 5.18, which must be importable; here it need not be installed beside timm).
`cases` are [height, width, k, digests]: one picture and, in the order of `columns`, the first 12 hex digits of the SHA-256 of the bytes
(height, width, 3) that normalisation would get. Run: python preprocess.py"""
import hashlib
import json
import random

import common
import numpy as np
import timm.data
import transformers
from PIL import Image
from torchvision import transforms
from transformers.models.deit import DeiTImageProcessorPil
from transformers.models.vit import ViTImageProcessorPil

SIZES = (224, 384)


def picture(height, width, k):
    """Even k: noise; odd: smooth with edges. The rule of `picture` in protocols.test.ts."""
    noise = np.floor((common.unit_values(3 * height * width, k) + 1) * 128).astype(np.int64).reshape(height, width, 3)
    if k % 2 == 0:
        return Image.fromarray(noise.astype(np.uint8))
    y, x = np.mgrid[:height, :width]
    v = np.stack([(5 * x + 2 * y) % 256, np.where(x * height > y * width, 220, 40) + noise[:, :, 1] % 16, (x * x + y * y) // 7 % 256], axis=2)
    return Image.fromarray(v.astype(np.uint8))


def official(size):
    return transforms.Compose([transforms.Resize(int(size / 0.875), interpolation=transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(size)])


def timms(size, crop_pct):
    steps = timm.data.create_transform((3, size, size), crop_pct=crop_pct, interpolation="bicubic").transforms
    return transforms.Compose(steps[:2])  # resize and crop; then come ToTensor and Normalize


def hf(processor):
    def apply(image):
        out = processor(image, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
        return np.asarray(out).transpose(1, 2, 0)
    return apply


def deit(size):  # the sizes that the conversion script of transformers gives
    side = int((256 / 224) * size)
    return hf(DeiTImageProcessorPil(size={"height": side, "width": side}, crop_size={"height": size, "width": size}, resample=3))


def vit(size):
    return hf(ViTImageProcessorPil(size={"height": size, "width": size}))


COLUMNS = {}
for size in SIZES:
    COLUMNS[f"official deit {size}"] = official(size)
    COLUMNS[f"timm deit {size}"] = timms(size, {224: 0.9, 384: 1.0}[size])
    COLUMNS[f"hf deit {size}"] = deit(size)
COLUMNS["timm regnety_004 224"] = timms(224, 0.965)
COLUMNS["hf vit_base_patch16_224 224"] = vit(224)


def digest(image):
    a = np.asarray(image)
    assert a.dtype == np.uint8 and a.shape[2] == 3, (a.dtype, a.shape)
    return hashlib.sha256(a.tobytes()).hexdigest()[:12]


rng = random.Random(0)
shapes = [(1, 1), (1, 2), (2, 1), (1, 7), (9, 1), (1, 40), (31, 1), (2, 2), (3, 2), (224, 224), (384, 384), (256, 256), (248, 300), (438, 438),
          (257, 259), (256, 1), (8, 700), (700, 9), (223, 225), (449, 448)]
shapes += [(rng.randint(1, 12), rng.randint(1, 12)) for _ in range(30)]
shapes += [(rng.randint(3, 90), rng.randint(3, 90)) for _ in range(60)]
shapes += [(rng.randint(90, 300), rng.randint(90, 300)) for _ in range(60)]
shapes += [(rng.randint(200, 640), rng.randint(200, 640)) for _ in range(30)]
shapes += [(rng.randint(20, 60), rng.randint(300, 900)) for _ in range(10)] + [(rng.randint(300, 900), rng.randint(20, 60)) for _ in range(10)]

cases = []
for k, (height, width) in enumerate(shapes):
    image = picture(height, width, k)
    cases.append([height, width, k, " ".join(digest(f(image)) for f in COLUMNS.values())])
value = {"recordedWith": {"pillow": Image.__version__, "timm": timm.__version__, "transformers": transformers.__version__, "script": "preprocess.py"},
         "columns": list(COLUMNS), "cases": cases}
text = json.dumps(value, indent=0).replace(",\n", ", ").replace("[\n", "[").replace("\n]", "]").replace("], [", "],\n[")
(common.HERE / "preprocess.json").write_text(text + "\n")
print(len(cases), "cases", len(text))
