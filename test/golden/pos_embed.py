"""timm's position embeddings at other sizes, as its `dynamic_img_size` and its loading resample them -> pos-embed.json. One channel, by the
rule of fill.ts. Run: python pos_embed.py"""
import common
from timm.layers import resample_abs_pos_embed

GRIDS = [  # name, pixels before and after, patch, rows before the patches
    ("vit_small_patch14_dinov2", 518, 224, 14, 1), ("vit_small_patch14_dinov2", 224, 518, 14, 1),
    ("vit_small_patch14_reg4_dinov2", 518, 98, 14, 0), ("deit3_small_patch16_384", 384, 224, 16, 0),
]

grids = []
for k, (name, before, after, patch, prefix) in enumerate(GRIDS):
    x = common.fill((1, prefix + (before // patch) ** 2, 1), k, 1.0).float()
    y = resample_abs_pos_embed(x, [after // patch] * 2, num_prefix_tokens=prefix)
    grids.append({"name": name, "from": before, "imgSize": after, "k": k, "y": common.numbers(y.reshape(-1), 7)})
common.write("pos-embed.json", {"grids": grids})
