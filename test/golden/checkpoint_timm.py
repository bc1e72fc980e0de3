"""Our checkpoints through timm and back -> checkpoint-timm.json and checkpoint-timm-*.{pth.tar,pth}.

Small random models of timm are written as files; `tessera convert` takes them to Hugging Face's names and back; timm loads the result
strictly and must give the same logits to the bit; then timm's own CheckpointSaver saves it with optimizer and moving average, which is
converted once more. Run from the repository's root: python test/golden/checkpoint_timm.py
"""
import argparse, hashlib, json, pathlib, subprocess, sys, tempfile, time

here = pathlib.Path(__file__).parent
sys.path.insert(0, str(here))
import common  # noqa: F401, lets timm be imported without compiled torchvision
import numpy as np
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models import load_state_dict
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from timm.utils import CheckpointSaver, ModelEmaV3

SIZES = dict(img_size=8, patch_size=4, embed_dim=8, depth=2, num_heads=2, num_classes=5)


def special(state):
    """NaNs with payloads, negative zeros and subnormals among the values, which a careless copy would lose."""
    bits = torch.tensor([0x7FC12345, 0x7F800001, 0xFFC00001, 0x80000000, 1, 0xFF800000], dtype=torch.int64).to(torch.int32)
    for t in state.values():
        if t.is_floating_point() and t.numel() >= len(bits):
            t.view(torch.int32).view(-1)[: len(bits)] = bits
    return state


def convert(source, target, *more):
    subprocess.run(["node", "cli/tessera.mjs", "convert", "--in", source, "--out", target, *more], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def digest(state):
    return {n: {"shape": list(t.shape), "sha256": hashlib.sha256(t.detach().contiguous().numpy().tobytes()).hexdigest()} for n, t in state.items()}


def same(a, b):
    return sorted(a) == sorted(b) and all(a[n].shape == b[n].shape and a[n].numpy().tobytes() == b[n].numpy().tobytes() for n in a)


def cycle(state, folder):
    """timm -> Hugging Face -> timm, one file, several, and .pth; the last one's state."""
    paths = [str(folder / n) for n in ["a.safetensors", "hf.safetensors.index.json", "b.pth", "hf.bin", "c.safetensors"]]
    save_file(state, paths[0], metadata={"format": "pt"})
    bytes_ = sum(t.numel() * t.element_size() for t in state.values())
    convert(paths[0], paths[1], "--to", "hf", "--shard-mb", str(bytes_ / 3e6))
    convert(paths[1], paths[2], "--to", "timm")
    convert(paths[2], paths[3], "--to", "hf")
    convert(paths[3], paths[4], "--to", "timm")
    via_pth = torch.load(paths[2], weights_only=True)["model"]
    torch.load(paths[3], weights_only=True)
    shards = len(list(folder.glob("hf-*.safetensors")))
    back = load_file(paths[4])
    return via_pth, back, shards


def main():
    torch.manual_seed(1)
    result = {"timm": timm.__version__, "torch": torch.__version__, "cycles": {}, "forward": {}}
    makers = {
        "small": lambda: VisionTransformer(**SIZES), "small distilled": lambda: VisionTransformerDistilled(**SIZES),
        "regnety_002": lambda: timm.create_model("regnety_002"),
        "deit_tiny_patch16_224": lambda: timm.create_model("deit_tiny_patch16_224"),
        "deit_tiny_distilled_patch16_224": lambda: timm.create_model("deit_tiny_distilled_patch16_224"),
    }
    for name, make in makers.items():
        model = make().eval()
        for p in model.parameters():
            p.data.normal_(0, 0.05)
        state = {n: t for n, t in model.state_dict().items() if not n.endswith("num_batches_tracked")}
        x = torch.randn(1, 3, *([8, 8] if name.startswith("small") else [224, 224]))
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            expected = model(x)
            start = time.time()
            via_pth, back, shards = cycle(state, pathlib.Path(folder))
            fresh = make().eval()
            fresh.load_state_dict(back, strict=True)
            result["forward"][name] = {"largest difference": (fresh(x) - expected).abs().max().item()}
            assert same(via_pth, state) and same(back, state) and torch.equal(fresh(x), expected), name
            odd = special({n: t.clone() for n, t in state.items()})
            assert same(cycle(odd, pathlib.Path(folder))[1], odd), name
        result["cycles"][name] = {"tensors": len(state), "values": sum(t.numel() for t in state.values()), "shards": shards, "same bits": True, "same bits with NaNs": True}
        print(name, result["cycles"][name], f"{time.time() - start:.1f} s", flush=True)

    # Ours -> timm, trained a step there and saved by timm's own saver, with arguments, optimizer and moving average -> ours.
    with tempfile.TemporaryDirectory() as folder:
        model = VisionTransformerDistilled(**SIZES)
        save_file(model.state_dict(), f"{folder}/in.safetensors")
        convert(f"{folder}/in.safetensors", f"{folder}/ours.pth", "--to", "timm")
        model = VisionTransformerDistilled(**SIZES)
        model.load_state_dict(load_state_dict(f"{folder}/ours.pth"), strict=True)
        ema = ModelEmaV3(model, decay=0.9)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        model.set_distilled_training(True)
        sum(y.square().sum() for y in model(torch.randn(2, 3, 8, 8))).backward()
        optimizer.step()
        ema.update(model)
        args = argparse.Namespace(model="deit_tiny_distilled_patch16_224", lr=0.01, mean=None, opt_betas=[0.9, 0.999], model_kwargs={"depth": 2})
        saver = CheckpointSaver(model, optimizer, args=args, model_ema=ema, checkpoint_dir=folder, recovery_dir=folder)
        saver.save_checkpoint(7, metric=12.5)
        (here / "checkpoint-timm.pth.tar").write_bytes(pathlib.Path(folder, "last.pth.tar").read_bytes())
        states = {"state_dict": model.state_dict(), "state_dict_ema": ema.module.state_dict()}
        for key, more in [("state_dict", []), ("state_dict_ema", ["--ema"])]:
            convert(f"{folder}/last.pth.tar", f"{folder}/back.safetensors", "--to", "timm", *more)
            back = load_file(f"{folder}/back.safetensors")
            assert same({n: back[n] for n in states[key]}, states[key]), key
        result["saver"] = {key: digest(s) for key, s in states.items()}
    # The format before PyTorch 1.6, which timm's released weights still use; a view and a shared storage among the tensors.
    base = torch.randn(4, 6)
    old = {"whole": base, "transposed": base.t(), "inner": base[1:3, 2:5], "half": base.half(), "module": torch.nn.Parameter(base * 2)}
    torch.save({"state_dict": old, "epoch": 1}, here / "checkpoint-old.pth", _use_new_zipfile_serialization=False)
    result["old"] = digest({n: t.float() for n, t in old.items()})
    wrapped = {f"module._orig_mod.{n}": t for n, t in old.items()}
    torch.save({"model": wrapped}, here / "checkpoint-wrapped.pth")
    (here / "checkpoint-timm.json").write_text(json.dumps(result, indent=1) + "\n")


main()
