"""A small RegNetY of transformers (5.18, which must be importable) -> checkpoint-regnet-hf.safetensors: its state dict with the names that
transformers gives it, and in the metadata its logits in f64 for the input of fill.ts. Run: python regnet_hf.py"""
import json

import common
import torch
import transformers
from safetensors.torch import save_file
from transformers.models.regnet.configuration_regnet import RegNetConfig
from transformers.models.regnet.modeling_regnet import RegNetForImageClassification

torch.manual_seed(0)
config = RegNetConfig(embedding_size=8, hidden_sizes=[8, 16, 32], depths=[1, 2, 2], groups_width=8, layer_type="y", num_labels=7)
model = RegNetForImageClassification(config).eval()
with torch.no_grad():
    for name, p in list(model.named_parameters()) + list(model.named_buffers()):
        if p.is_floating_point():
            p.copy_(0.5 + torch.rand_like(p) if "running_var" in name or p.ndim == 1 and name.endswith("normalization.weight") else 0.3 * torch.randn_like(p))
state = {n: t.clone() for n, t in model.state_dict().items()}
with torch.no_grad():
    logits = model.double()(pixel_values=common.fill((2, 3, 32, 32), 0, 1.7)).logits
save_file(state, common.HERE / "checkpoint-regnet-hf.safetensors", metadata={"format": "pt", "recorded": json.dumps({"transformers": transformers.__version__, "logits": logits.flatten().tolist()})})
print(transformers.__version__, len(state), logits.flatten().tolist()[:4], list(state)[:6])
