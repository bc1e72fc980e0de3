"""Resizing -> resize.json: Pillow's bicubic of bytes with 1, 3 and 4 channels, results as base64; PyTorch's bicubic of position
embeddings as DeiT's fine-tuning calls it, forward and backward in f64. Inputs by the rule of fill.ts. Run: python resize.py"""
import base64

import common
import numpy as np
import torch
from PIL import Image

MODES = {1: "L", 3: "RGB", 4: "CMYK"}
BYTES = [  # height, width, channels, new height, new width
    (5, 7, 3, 5, 7), (5, 7, 3, 11, 7), (5, 7, 3, 5, 3), (13, 9, 3, 4, 5), (13, 9, 1, 4, 5), (13, 9, 4, 31, 6), (1, 1, 3, 3, 5), (1, 9, 1, 7, 2),
    (30, 1, 3, 7, 3), (40, 50, 3, 17, 13), (64, 3, 4, 3, 19), (17, 23, 1, 24, 24),
]
GRIDS = [  # tokens before the patches, side, channels, new height, new width
    (1, 14, 1, 24, 24), (2, 14, 1, 24, 24), (2, 24, 1, 14, 14), (1, 3, 5, 5, 5), (2, 1, 3, 4, 2), (1, 4, 2, 4, 4), (1, 5, 3, 3, 9), (2, 2, 3, 7, 1),
]

images = []
for k, (h, w, c, height, width) in enumerate(BYTES):
    a = np.floor((common.unit_values(h * w * c, k) + 1) * 128).astype(np.uint8).reshape((h, w, c) if c > 1 else (h, w))
    out = np.asarray(Image.fromarray(a, MODES[c]).resize((width, height), Image.Resampling.BICUBIC))
    images.append({"shape": [h, w, c], "k": k, "height": height, "width": width, "y": base64.b64encode(out.tobytes()).decode()})

grids = []
for k, (prefix, side, d, height, width) in enumerate(GRIDS):
    x = common.fill((1, prefix + side * side, d), k, 1.0).requires_grad_()
    patches = x[:, prefix:].reshape(1, side, side, d).permute(0, 3, 1, 2)
    new = torch.nn.functional.interpolate(patches, size=(height, width), mode="bicubic", align_corners=False)
    y = torch.cat([x[:, :prefix], new.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
    dy = common.fill(tuple(y.shape), 100 + k, 1.0)
    (dx,) = torch.autograd.grad((y * dy).sum(), x)
    grids.append({"prefix": prefix, "side": side, "channels": d, "k": k, "height": height, "width": width,
                  "y": common.numbers(y.reshape(-1), 8), "dx": common.numbers(dx.reshape(-1), 8)})
common.write("resize.json", {"pillow": Image.__version__, "images": images, "grids": grids})
