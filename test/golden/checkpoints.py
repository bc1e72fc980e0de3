"""Small DeiT checkpoints as PyTorch, timm and transformers name and store them -> checkpoints.json and checkpoint-*.{pth,bin,safetensors}.

The models are timm's; Hugging Face's names are made from timm's by the published correspondence. Run: python checkpoints.py
"""
import argparse, collections, hashlib, json, os, pathlib, pickle, re

import common  # noqa: F401, lets timm be imported without compiled torchvision
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from timm.models.deit import VisionTransformerDistilled

here = pathlib.Path(__file__).parent
SIZES = dict(img_size=8, patch_size=4, embed_dim=8, depth=2, num_heads=2, num_classes=5)


def digest(state):
    """Names with shapes and a hash of the f32 bytes."""
    return {n: {"shape": list(t.shape), "sha256": hashlib.sha256(t.detach().contiguous().float().numpy().tobytes()).hexdigest()} for n, t in state.items()}


def hugging_face(state, prefix, heads, version=4):
    out = {}
    block = [("norm1", "layernorm_before", "layernorm_before"), ("attn.proj", "attention.output.dense", "attention.o_proj"),
             ("norm2", "layernorm_after", "layernorm_after"), ("mlp.fc1", "intermediate.dense", "mlp.fc1"), ("mlp.fc2", "output.dense", "mlp.fc2")]
    qkv = [("attention.attention.query", "attention.q_proj"), ("attention.attention.key", "attention.k_proj"), ("attention.attention.value", "attention.v_proj")]
    stem = {"cls_token": "embeddings.cls_token", "dist_token": "embeddings.distillation_token", "pos_embed": "embeddings.position_embeddings"}
    for name, t in state.items():
        m = re.match(r"blocks\.(\d+)\.(.*)\.(weight|bias)$", name)
        if name in stem:
            out[prefix + stem[name]] = t
        elif m:
            layer = prefix + ("encoder.layer." if version == 4 else "layers.") + m[1] + "."
            if m[2] == "attn.qkv":
                for third, names in zip(t.chunk(3), qkv):
                    out[f"{layer}{names[version - 4]}.{m[3]}"] = third.clone()
            else:
                row = next(r for r in block if r[0] == m[2])
                out[f"{layer}{row[version - 3]}.{m[3]}"] = t
        elif name.startswith("patch_embed.proj."):
            out[prefix + name.replace("patch_embed.proj", "embeddings.patch_embeddings.projection")] = t
        elif name.startswith("norm."):
            out[prefix + name.replace("norm", "layernorm")] = t
        else:
            module, kind = name.rsplit(".", 1)
            out[f"{heads[module]}.{kind}"] = t
    return out


torch.manual_seed(0)
plain, distilled = VisionTransformer(**SIZES), VisionTransformerDistilled(**SIZES)
for model in (plain, distilled):
    for p in model.parameters():
        p.data.normal_()
P, D = plain.state_dict(), distilled.state_dict()
ema = collections.OrderedDict((k, v + 1) for k, v in D.items())
optimizer = torch.optim.AdamW(distilled.parameters(), lr=1e-3)
sum(p.sum() for p in distilled.parameters()).backward()
optimizer.step()
D = collections.OrderedDict((k, v.detach().clone()) for k, v in distilled.state_dict().items())

torch.save({"model": D, "model_ema": ema, "optimizer": optimizer.state_dict(), "epoch": 3, "scaler": {"scale": 65536.0, "big": 2**70},
            "args": argparse.Namespace(lr=5e-4, data="x", seed=None, flags=[1, True, (2, "é")])}, here / "checkpoint-training.pth")
torch.save(P, here / "checkpoint-plain.pth")
torch.save(hugging_face(P, "vit.", {"head": "classifier"}), here / "checkpoint-vit.bin")
HEADS = {"head": "cls_classifier", "head_dist": "distillation_classifier"}
save_file(hugging_face(D, "deit.", HEADS), here / "checkpoint-hf4.safetensors", metadata={"format": "pt"})
save_file(hugging_face(D, "deit.", HEADS, 5), here / "checkpoint-hf5.safetensors", metadata={"format": "pt"})

base = torch.arange(24.0).reshape(4, 6) / 3
views = collections.OrderedDict(
    whole=base, transposed=base.t(), inner=base[1:3, 2:5], permuted=base.reshape(2, 3, 4).permute(2, 0, 1), tail=base.flatten()[20:],
    parameter=torch.nn.Parameter(base * 2), half=base.half().t(), bfloat16=base.bfloat16(), double=base.double(), scalar=torch.tensor(7.5), empty=torch.zeros(0, 3))
torch.save(views, here / "checkpoint-views.pth")


class Evil:
    def __reduce__(self):
        return os.system, ("echo run",)


def pickled(value):
    return pickle.dumps(value, protocol=2).hex()


json.dump({
    "plain": digest(P), "distilled": digest(D), "ema": digest(ema), "views": digest(views),
    "vit": digest(hugging_face(P, "vit.", {"head": "classifier"})), "hf4": digest(hugging_face(D, "deit.", HEADS)),
    "evil": pickled({"model": Evil()}), "bytes": pickled({"a": b"\xff"}), "path": pickled(pathlib.PurePosixPath("/x")),
}, open(here / "checkpoints.json", "w"), indent=1)
