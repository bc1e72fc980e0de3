"""A run of ours goes on in timm's own train.py and comes back -> timm-run.json and checkpoint-timm-run.pth.tar.

`tessera train` distils an epoch, `tessera convert --to timm` writes weights and the command, and that command is run as it is, but for
`torchrun`, whose place one process on the CPU takes, and the teacher's pretrained weights, which are random here. timm loads the weights
strictly (`--initial-checkpoint`), trains the second epoch with its token distillation and saves; `tessera eval` loads the result strictly.
train.py is no part of the package: https://github.com/huggingface/pytorch-image-models/blob/main/train.py
Run from the repository's root: python test/golden/timm_run.py path/to/train.py
"""
import hashlib, json, os, pathlib, re, subprocess, sys, tempfile

import numpy as np

here = pathlib.Path(__file__).parent
CONFIG = {"arch": "deit", "imgSize": 32, "patchSize": 8, "inChans": 3, "dim": 8, "depth": 2, "heads": 2, "mlpRatio": 4, "numClasses": 10, "distilled": True}
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
RECIPE = ["--epochs", "2", "--batch-size", "20", "--distillation", "hard", "--warmup-epochs", "0", "--lr", "0.002", "--scale-lr", "false", "--ema-decay", "0.99", "--repeats", "1"]

# What runs instead of `torchrun --nproc-per-node=… train.py`: without compiled torchvision, and without a network.
RUNNER = f"""
import runpy, sys
sys.path.insert(0, {str(here)!r})
import common
import timm
create = timm.create_model
def unpretrained(model_name, pretrained=False, **kwargs):
    print("created", model_name, "with", kwargs.get("checkpoint_path") or "no file", "pretrained" if pretrained else "", flush=True)
    return create(model_name, pretrained=False, **kwargs)
timm.create_model = timm.models.create_model = unpretrained
import timm.task
for module in list(sys.modules.values()):
    if getattr(module, "create_model", None) is create:
        module.create_model = unpretrained
sys.argv = [sys.argv[1], *sys.argv[2:]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def tessera(*args):
    done = subprocess.run(["node", "cli/tessera.mjs", *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def main(train_py):
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        from PIL import Image
        import torch
        sys.path.insert(0, str(here))
        import common  # noqa: F401
        import timm
        from safetensors.torch import save_file
        for split, timms in (("train", "train"), ("test", "validation")):
            records = b""
            for i in range(40):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                records += bytes([i % 10]) + pixels.transpose(2, 0, 1).tobytes()
                (folder / timms / CLASSES[i % 10]).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(folder / timms / CLASSES[i % 10] / f"{i}.png")
            (folder / f"{split}.bin").write_bytes(records)
        torch.manual_seed(0)
        teacher = timm.create_model("regnety_002", num_classes=10)
        save_file(teacher.state_dict(), folder / "teacher.safetensors")
        tessera("train", "--model", json.dumps(CONFIG), "--data", str(folder), "--out", str(folder / "ours"), "--teacher", str(folder / "teacher.safetensors"),
                "--teacher-model", "regnety_002", "--max-steps", "2", *RECIPE)
        tessera("convert", "--in", str(folder / "ours/checkpoint.safetensors"), "--out", str(folder / "ours.pth"), "--to", "timm")
        command = (folder / "ours.pth.sh").read_text()

        (folder / "runner.py").write_text(RUNNER)
        (folder / "bin").mkdir()
        stand_in = folder / "bin/torchrun"
        stand_in.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} {folder}/runner.py {os.path.abspath(train_py)} "$@" --device cpu --workers 0 --no-prefetcher --output {folder}/out --experiment run\n')
        stand_in.chmod(0o755)
        env = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "GPUS": "1", "DATA": str(folder)}
        done = subprocess.run(["sh", "ours.pth.sh"], cwd=folder, env=env, capture_output=True, text=True)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-4000:]
        created = re.findall(r"^created (.*?) *$", said, re.M)
        saved = folder / "out/run/last.pth.tar"
        (here / "checkpoint-timm-run.pth.tar").write_bytes(saved.read_bytes())
        # Only where timm's run begins: our weights, every bit.
        ours = torch.load(folder / "ours.pth", weights_only=True)["model"]
        back = torch.load(saved, weights_only=False)
        moved = sum(not torch.equal(ours[n], t) for n, t in back["state_dict"].items())
        judged = tessera("eval", "--weights", str(saved), "--model", json.dumps(CONFIG), "--data", str(folder)).splitlines()
        digest = {n: {"shape": list(t.shape), "sha256": hashlib.sha256(t.contiguous().numpy().tobytes()).hexdigest()} for n, t in back["state_dict"].items()}
        value = {
            "timm": timm.__version__, "torch": torch.__version__, "config": CONFIG, "command": command, "created": created,
            "epoch": back["epoch"], "tensors": len(digest), "changed by timm": moved, "args": {k: v for k, v in sorted(vars(back["args"]).items()) if k.startswith(("kd_", "lr", "mean", "std", "epochs", "start_epoch", "initial"))},
            "judged by ours": judged, "state_dict": digest,
        }
        text = json.dumps(value, indent=1).replace(str(folder), "FOLDER")
        (here / "timm-run.json").write_text(text + "\n")
        print(text[:3500])


main(sys.argv[1])
