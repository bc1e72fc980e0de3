"""DeiT's three sizes with PyTorch on the same GPU: fp32 (TF32 off), TF32, bf16; as it is and with torch.compile.

    python3 torch_models.py OUT.json [--smoke] [--seconds N]

Models are timm's where it is installed, else the same architecture written here. Training is forward, cross-entropy with
smoothed labels, backward, AdamW. Images and labels lie on the GPU. The median of timed runs counts.
"""
import argparse
import gc
import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

SIZES = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12)}
PRECISIONS = ("fp32", "tf32", "bf16")
BATCHES = (256, 128, 64, 32)


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, 1e-6), nn.LayerNorm(dim, 1e-6)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x):
        B, N, D = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, N, D))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Deit(nn.Module):
    def __init__(self, dim, heads, side, patch, depth, classes):
        super().__init__()
        self.patches = nn.Conv2d(3, dim, patch, patch)
        self.cls, self.pos = nn.Parameter(torch.zeros(1, 1, dim)), nn.Parameter(torch.zeros(1, (side // patch) ** 2 + 1, dim))
        self.blocks = nn.Sequential(*[Block(dim, heads) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(dim, 1e-6), nn.Linear(dim, classes)

    def forward(self, x):
        t = self.patches(x).flatten(2).transpose(1, 2)
        t = torch.cat([self.cls.expand(len(x), -1, -1), t], 1) + self.pos
        return self.head(self.norm(self.blocks(t))[:, 0])


def make(size, smoke):
    """A model, its images' side, its classes, and whose it is."""
    if smoke:
        return Deit(96, 3, 32, 4, 2, 10), 32, 10, "written here, small"
    try:
        import timm
        return timm.create_model(f"deit_{size}_patch16_224"), 224, 1000, f"timm {timm.__version__}"
    except ImportError:
        dim, heads = SIZES[size]
        return Deit(dim, heads, 224, 16, 12, 1000), 224, 1000, "written here (no timm)"


def precision(kind):
    torch.backends.cuda.matmul.allow_tf32 = kind != "fp32"
    torch.backends.cudnn.allow_tf32 = kind != "fp32"


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def timed(run, device, smoke):
    """Median ms of a run."""
    for _ in range(1 if smoke else 3):
        run()
    wait(device)
    samples, started = [], time.perf_counter()
    while len(samples) < 3 or (len(samples) < 15 and time.perf_counter() - started < 1.2):
        begun = time.perf_counter()
        run()
        wait(device)
        samples.append(1000 * (time.perf_counter() - begun))
        if smoke and len(samples) >= 3:
            break
    return sorted(samples)[len(samples) // 2], len(samples)


def measure(mode, size, kind, compiled, batch, device, smoke):
    precision(kind)
    torch.manual_seed(1)
    model, side, classes, whose = make(size, smoke)
    model = model.to(device)
    x, y = torch.randn(batch, 3, side, side, device=device), torch.randint(classes, (batch,), device=device)
    cast = torch.autocast(device, torch.bfloat16, enabled=kind == "bf16")
    forward = torch.compile(model) if compiled else model
    if mode == "forward":
        model.eval()

        def run():
            with torch.inference_mode(), cast:
                return forward(x)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), 5e-4, weight_decay=0.05, fused=device == "cuda")

        def run():
            optimizer.zero_grad(set_to_none=True)
            with cast:
                loss = F.cross_entropy(forward(x), y, label_smoothing=0.1)
            loss.backward()
            optimizer.step()
            return loss
    ms, runs = timed(run, device, smoke)
    if not torch.isfinite(run().float()).all():
        raise RuntimeError("expected finite results, got others")
    return {"ms": ms, "runs": runs, "imagesPerSecond": 1000 * batch / ms, "model": whose}


def fitting(device, smoke, **what):
    """The largest batch that runs."""
    error = None
    for batch in (4,) if smoke else BATCHES:
        try:
            return {**what, "batch": batch, **measure(batch=batch, device=device, smoke=smoke, **what)}
        except torch.OutOfMemoryError as e:
            error = str(e).split("\n")[0]
        except Exception as e:
            error = f"{type(e).__name__}: {e}".split("\n")[0]
            break
        finally:
            gc.collect()
            if device == "cuda":
                torch.cuda.empty_cache()
            torch.compiler.reset()
    return {**what, "error": error}


def ceilings(device, smoke):
    """TFLOP/s of a product, GB/s of a copy: what the GPU's own library reaches."""
    n, found = 256 if smoke else 4096, {}
    for kind in PRECISIONS:
        precision(kind)
        dtype = torch.bfloat16 if kind == "bf16" else torch.float32
        a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))

        def products():
            for _ in range(10):
                a @ b
        found[f"matmul{n}_{kind}_TFLOPs"] = 10 * 2 * n ** 3 / timed(products, device, smoke)[0] / 1e9
    x = torch.randn(2 ** (20 if smoke else 28), device=device)
    y = torch.empty_like(x)

    def copies():
        for _ in range(5):
            y.copy_(x)
    found["copy_GBps"] = 5 * 2 * 4 * x.numel() / timed(copies, device, smoke)[0] / 1e6
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--seconds", type=float, default=240)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not args.smoke:
        sys.exit("torch: expected a GPU that PyTorch can use, got none")
    started = time.perf_counter()
    name = torch.cuda.get_device_name() if device == "cuda" else "processor"
    result = {"version": torch.__version__, "device": name, "ceilings": ceilings(device, args.smoke), "runs": [], "notRun": []}
    sizes = ("small",) if args.smoke else ("small", "tiny", "base")
    plain = [(mode, size, kind, False) for kind in ("fp32", "bf16", "tf32") for size in sizes for mode in ("train", "forward")]
    # Compiling takes far longer than measuring: what is compared first comes first.
    compiled = [(mode, size, kind, True) for size in sizes for kind in ("fp32", "bf16", "tf32") for mode in ("train", "forward")]
    for mode, size, kind, is_compiled in plain + (compiled[:1] if args.smoke else compiled):
        what = {"mode": mode, "size": size, "kind": kind, "compiled": is_compiled}
        if time.perf_counter() - started > args.seconds:
            result["notRun"].append(what)
        else:
            result["runs"].append(fitting(device, args.smoke, **what))
            print(result["runs"][-1], flush=True)
        with open(args.out, "w") as file:
            json.dump(result, file, indent=1)
    if any("error" in run for run in result["runs"]):
        sys.exit("torch: expected every run to end well, got " + "; ".join(f"{r['mode']} {r['size']} {r['kind']}{' compiled' if r['compiled'] else ''}: {r['error']}" for r in result["runs"] if "error" in r))


main()
