"""Checkpoints of two tensors with one ordinary Python value beside them, as PyTorch 2.13 writes them: checkpoint-values.json.

Run: python test/golden/checkpoint-values.py > test/golden/checkpoint-values.json
`weightsOnly` says whether torch.load(weights_only=True) reads the file without an allow-list.
"""

import argparse
import base64
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import io
import json
import os
import pathlib
import types
import uuid
import warnings

import numpy as np
import torch

warnings.simplefilter("ignore")


@dataclasses.dataclass
class Config:
    lr: float = 0.1


class AttributeDict(dict):
    pass


class Kind(enum.Enum):
    A = 1


Point = collections.namedtuple("Point", "x y")


class Evil:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


weights = {"patch_embed.proj.weight": torch.arange(12.0).reshape(1, 3, 2, 2), "cls_token": torch.tensor([[[0.5]]])}
default = collections.defaultdict(list)
default["a"].append(torch.ones(2))
attributes = AttributeDict(a=1)
attributes.name = "x"

values = {
    "bytes": b"\x00\xff", "bytearray": bytearray(b"ab"), "set": {1, 2}, "frozenset": frozenset([1]), "complex": 1 + 2j,
    "range": range(3), "slice": slice(1, 2), "big": 2**80, "none key": {None: 1}, "bool key": {True: 1}, "tuple key": {(0, 1): 1},
    "float key": {0.5: 1}, "counter": collections.Counter([10, 20]), "deque": collections.deque([1, 2], maxlen=3), "defaultdict": default,
    "ordered": collections.OrderedDict(a=1), "namedtuple": Point(1, 2), "dataclass": Config(), "dict subclass": attributes,
    "namespace": argparse.Namespace(device=torch.device("cpu"), dtype=torch.float16, path=pathlib.PurePosixPath("a/b")),
    "simple namespace": types.SimpleNamespace(a=1), "datetime": datetime.datetime(2026, 1, 1), "timedelta": datetime.timedelta(1),
    "decimal": decimal.Decimal("1.5"), "fraction": fractions.Fraction(1, 3), "uuid": uuid.UUID(int=5), "path": pathlib.PurePosixPath("a"),
    "size": torch.Size([1, 2]), "device": torch.device("cpu"), "dtype": torch.bfloat16, "layout": torch.strided, "numpy random": np.random.default_rng(0),
    "numpy float64": np.float64(0.5), "numpy int32": np.int32(3), "numpy bool": np.bool_(True), "numpy array": np.arange(3), "numpy dtype": np.dtype("f4"),
    "numpy random state": np.random.RandomState(0).get_state(), "class": Config, "function": os.path.join,
    "torch random state": torch.get_rng_state()[:8].clone(), "parameter": torch.nn.Parameter(torch.ones(2)), "complex tensor": torch.ones(2, dtype=torch.complex64),
    "float8 tensor": torch.ones(2).to(torch.float8_e4m3fn), "uint16 tensor": torch.ones(2, dtype=torch.uint16), "sparse tensor": torch.eye(2).to_sparse(),
    "quantized tensor": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "buffer": torch.nn.Buffer(torch.ones(2)),
}  # fmt: skip
evil = {
    "os.system": Evil(os.system, "true"), "eval": Evil(eval, "1"), "getattr": Evil(getattr, (), "count"), "enum": Kind.A,
    "torch.load": Evil(torch.load, "x"), "open": Evil(open, "/dev/null"),
}  # fmt: skip


def saved(value, **how):
    file = io.BytesIO()
    torch.save({"model": weights, "value": value}, file, **how)
    return file.getvalue()


def entry(value, **how):
    data = saved(value, **how)
    try:
        torch.load(io.BytesIO(data), weights_only=True)
        only = True
    except Exception:
        only = False
    return {"file": base64.b64encode(data).decode(), "weightsOnly": only}


def every():
    for name, value in values.items():
        yield name, entry(value)
    for protocol in (2, 3, 4, 5):
        for zipped in (True, False):
            how = f"protocol {protocol}, {'zip' if zipped else 'older format'}"
            together = {"set": {1}, "bytes": b"12", "counter": collections.Counter([1]), "numpy": np.float64(1), "big": 2**70, "frozenset": frozenset([2])}
            yield how, entry(together, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)


print(json.dumps({"read": dict(every()), "refused": {name: entry(value)["file"] for name, value in evil.items()}}, indent=1))
