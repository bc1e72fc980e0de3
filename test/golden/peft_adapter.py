"""A LoRA adapter that PEFT wrote for a small vision transformer of timm -> peft/ (its two files) and peft.json (logits with the adapter applied).
Run: python peft_adapter.py"""
import common
import peft
import torch
from common import HERE, fill, fill_model, fill_range, numbers, write
from timm.models.vision_transformer import VisionTransformer

model = fill_model(VisionTransformer(img_size=32, patch_size=16, embed_dim=24, depth=2, num_heads=2, mlp_ratio=2, num_classes=6)).eval()
config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=["qkv", "fc1"], modules_to_save=["head"])
adapted = peft.get_peft_model(model, config)
with torch.no_grad():
    for k, (name, p) in enumerate((n, p) for n, p in adapted.named_parameters() if p.requires_grad):
        p.copy_(fill(p.shape, 100 + k, 0.3))
y = adapted.eval()(fill((2, 3, 32, 32), 0, 1.7))
adapted.float().save_pretrained(HERE / "peft")
(HERE / "peft" / "README.md").unlink(missing_ok=True)
write("peft.json", {"peft": peft.__version__, "logits": numbers(y)})
