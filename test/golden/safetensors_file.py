"""One small tensor per dtype, written by the Python safetensors library -> python.safetensors. Run: python safetensors_file.py"""
import pathlib

import torch
from safetensors.torch import save_file

values = torch.tensor([0.0, 1.0, -2.5, 3.140625, 65504.0, 6.103515625e-05])
tensors = {
    "f32": values.reshape(2, 3),
    "f16": values.half().reshape(2, 3),
    "bf16": torch.tensor([0.0, 1.0, -2.5, 3.140625, 1e30, 1e-30]).bfloat16(),
    "f64": values.double() / 3,
    "i64": torch.tensor([0, -1, 2**53 - 1, -(2**53) + 1]),
    "i32": torch.tensor([[0, -1], [2**31 - 1, -(2**31)]], dtype=torch.int32),
    "u8": torch.tensor([0, 1, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(7.5),
    "empty": torch.zeros(0, 4),
}
save_file(tensors, pathlib.Path(__file__).parent / "python.safetensors", metadata={"format": "pt", "quote": 'a "b" \\ é'})
