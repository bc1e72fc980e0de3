"""Small image files of every kind that is decoded -> images/, and what Pillow reads in them -> images.json: per file [height, width, RGB
bytes as base64], as stored and, in `upright`, turned by `ImageOps.exif_transpose`. Of 16-bit grey the upper byte is recorded: Pillow's
own `convert("RGB")` clips such values at 255. Run: python images.py"""
import base64
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
OUT = HERE / "images"
H, W = 13, 18
rng = np.random.default_rng(1)
y, x = np.mgrid[:H, :W]
SMOOTH = np.stack([x * 13, y * 18, 255 - (x + y) * 8], axis=2).astype(np.uint8)
NOISE = rng.integers(0, 256, (H, W, 4), dtype=np.uint8)
NOISE[:3, :, 3] = 0  # colours below full transparency must survive


def png(name, depth, kind, rows, chunks=()):
    """A PNG by hand: Pillow writes no 16-bit colour and no gamma."""
    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
    header = struct.pack(">IIBBBBB", W, H, depth, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows), 9)
    body = b"".join([chunk(b"IHDR", header), *(chunk(t, d) for t, d in chunks), chunk(b"IDAT", data), chunk(b"IEND", b"")])
    (OUT / name).write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def oriented(name, orientation, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(SMOOTH).save(OUT / name, exif=exif, **options)


rgb, rgba = Image.fromarray(SMOOTH), Image.fromarray(NOISE)
rgb.save(OUT / "rgb.png")
rgba.save(OUT / "alpha.png")
rgb.convert("L").save(OUT / "grey.png")
Image.fromarray(NOISE[:, :, 2:], "LA").save(OUT / "grey-alpha.png")
rgb.quantize(16).save(OUT / "palette.png")
palette = rgb.quantize(8)
palette.save(OUT / "palette-transparent.png", transparency=bytes([0, 128, 255, 0, 10, 20, 30, 40]))
Image.fromarray((SMOOTH[:, :, 0] > 90)).save(OUT / "one-bit.png")
deep = rng.integers(0, 65536, (H, W, 3)).astype(">u2")
png("16-bit.png", 16, 2, deep)
png("16-bit-grey.png", 16, 0, deep[:, :, 0])
png("gamma.png", 8, 2, SMOOTH, [(b"gAMA", struct.pack(">I", 100000))])
rgba.save(OUT / "lossless.webp", lossless=True, exact=True)
rgb.save(OUT / "lossy.webp", quality=80)
rgb.save(OUT / "rgb.jpg", quality=90, subsampling=0)
rgb.save(OUT / "subsampled.jpg", quality=85, subsampling=2)
rgb.save(OUT / "progressive.jpg", quality=90, progressive=True, subsampling=0)
rgb.convert("L").save(OUT / "grey.jpg", quality=90)
Image.fromarray(np.stack([SMOOTH[:, :, 0], SMOOTH[:, :, 1], SMOOTH[:, :, 2], SMOOTH[:, :, 0] // 3], axis=2), "CMYK").save(OUT / "cmyk.jpg", quality=90)
for orientation in (2, 3, 4, 5, 6, 7, 8):
    oriented(f"exif-{orientation}.jpg", orientation, quality=90, subsampling=0)
oriented("exif-6.webp", 6, lossless=True)
oriented("exif-8.png", 8)
rgb.save(OUT / "rgb.bmp")
rgb.convert("L").save(OUT / "grey.bmp")
rgb.quantize(16).save(OUT / "palette.bmp")
Image.fromarray((SMOOTH[:, :, 0] > 90)).save(OUT / "one-bit.bmp")
rgba.save(OUT / "alpha.bmp")
rgb.save(OUT / "rgb.ppm")
rgb.convert("L").save(OUT / "grey.pgm")
Image.fromarray((SMOOTH[:, :, 0] > 90)).save(OUT / "one-bit.pbm")
(OUT / "digits.ppm").write_text("P3 # a comment\n%d %d\n# another\n255\n" % (W, H) + "\n".join(str(v) for v in SMOOTH.reshape(-1)) + "\n")
rgb.quantize(16).save(OUT / "palette.gif")
rgb.save(OUT / "lzw.tif", compression="tiff_lzw")
oriented("exif-6.tif", 6)
rgb.save(OUT / "lossy.avif", quality=90, subsampling="4:4:4")


def exif(name, fill=b"", order="II", kind=3, count=1, value=6, copies=1):
    """A JPEG with an Exif segment by hand, and bytes of filling before its marker."""
    e = "<" if order == "II" else ">"
    field = struct.pack(e + {1: "B", 3: "H", 4: "I"}[kind], value).ljust(4, b"\0")
    tiff = order.encode() + struct.pack(e + "HIH", 42, 8, 1) + struct.pack(e + "HHI", 0x0112, kind, count) + field + struct.pack(e + "I", 0)
    body = b"Exif\0\0" + tiff
    segment = fill + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    jpeg = (OUT / "rgb.jpg").read_bytes()
    (OUT / name).write_bytes(jpeg[:2] + segment * copies + jpeg[2:])


exif("exif-long.jpg", kind=4)
exif("exif-long-mm.jpg", kind=4, order="MM")
exif("exif-short-mm.jpg", order="MM", value=8)
exif("exif-fill.jpg", fill=b"\xff")
exif("exif-fill-5.jpg", fill=b"\xff" * 5, value=3)
exif("exif-9.jpg", value=9)
exif("exif-0.jpg", value=0)
exif("exif-byte.jpg", kind=1)
exif("exif-twice.jpg", copies=2)
Image.fromarray(np.arange(3 * 9000, dtype=np.uint64).reshape(1, 9000, 3).astype(np.uint8)).save(OUT / "thin.png")
(OUT / "truncated.bmp").write_bytes((OUT / "rgb.bmp").read_bytes()[:-40])
(OUT / "truncated.ppm").write_bytes((OUT / "rgb.ppm").read_bytes()[:-40])
(OUT / "drawing.png").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
png("bomb.png", 1, 0, [np.zeros(3, np.uint8)])
(OUT / "bomb.png").write_bytes((OUT / "bomb.png").read_bytes().replace(struct.pack(">II", W, H), struct.pack(">II", 16383, 16383)))
(OUT / "truncated.png").write_bytes((OUT / "alpha.png").read_bytes()[:-400])
(OUT / "truncated.jpg").write_bytes((OUT / "rgb.jpg").read_bytes()[:-100])
(OUT / "text.jpg").write_text("no image\n")
(OUT / "empty.png").write_bytes(b"")

BROKEN = {"truncated.png", "truncated.jpg", "text.jpg", "empty.png", "truncated.bmp", "truncated.ppm", "drawing.png", "bomb.png"}


def recorded(image):
    a = np.asarray(image)
    return [a.shape[0], a.shape[1], base64.b64encode(a.tobytes()).decode()]


stored, upright = {}, {}
for path in sorted(OUT.iterdir()):
    if path.name in BROKEN:
        continue
    image = Image.open(path)
    if path.name == "16-bit-grey.png":
        stored[path.name] = recorded(np.repeat((deep[:, :, :1] >> 8).astype(np.uint8), 3, axis=2))
        continue
    stored[path.name] = recorded(image.convert("RGB"))
    turned = recorded(ImageOps.exif_transpose(image).convert("RGB"))
    if turned != stored[path.name]:
        upright[path.name] = turned
text = json.dumps({"recordedWith": {"pillow": Image.__version__, "script": "images.py"}, "broken": sorted(BROKEN), "stored": stored, "upright": upright}, indent=1)
(HERE / "images.json").write_text(text.replace("[\n   ", "[").replace(",\n   ", ", ").replace("\n  ]", "]") + "\n")
print(len(stored), "images", len(text))
