"""Attention of small DeiTs, filled by the rule of fill.ts -> attention.json: the last block's probabilities of the class (and distillation)
token per head, and their rollout over all blocks, (mean over heads + identity) / 2 multiplied from the first block on. f64, from timm's
modules. Run: python attention.py"""
import common
import torch
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer

CONFIG = {"imgSize": 32, "patchSize": 8, "dim": 24, "depth": 3, "heads": 3, "numClasses": 10}


def record(distilled):
    kind = VisionTransformerDistilled if distilled else VisionTransformer
    model = common.fill_model(kind(img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=3, num_classes=10)).eval()
    found = []

    def hook(module, args, out):
        B, N, _ = args[0].shape
        q, k, _ = module.qkv(args[0]).reshape(B, N, 3, 3, 8).permute(2, 0, 3, 1, 4)
        found.append(((q @ k.transpose(-2, -1)) * 8 ** -0.5).softmax(-1))
    for block in model.blocks:
        block.attn.register_forward_hook(hook)
    with torch.no_grad():
        model(common.fill((2, 3, 32, 32), 0, 1.7))
    roll = torch.eye(found[0].shape[-1], dtype=torch.float64).expand(2, -1, -1)
    for a in found:
        roll = ((a.mean(1) + torch.eye(a.shape[-1], dtype=torch.float64)) / 2) @ roll
    q = 2 if distilled else 1
    return {"distilled": distilled, "heads": common.numbers(found[-1][:, :, :q, q:], 8), "rollout": common.numbers(roll[:, :q, q:], 8)}


common.write("attention.json", {"config": CONFIG, "models": [record(False), record(True)]})
