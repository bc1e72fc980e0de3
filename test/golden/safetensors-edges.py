"""Which edge files the reference reader of safetensors takes, and what it reads: safetensors-edges.json.

Run: python test/golden/safetensors-edges.py > test/golden/safetensors-edges.json
Each row: what the file is about, the file in base64, and the tensors' [name, dtype, shape] as the reference reads them, or null where it refuses.
"""

import base64
import itertools
import json
import struct

import safetensors
from safetensors import safe_open
import os
import tempfile


def file(header, data=b"", length=None, pad=b""):
    text = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    text += pad
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def info(dtype="F32", shape=(1,), offsets=(0, 4), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


four = b"\0" * 4
good = {"a": info()}
cases = []
add = lambda why, *args, **how: cases.append((why, file(*args, **how)))

add("one tensor", good, four)
add("no tensors", {})
add("no tensors, rest", {}, four)
add("metadata alone", {"__metadata__": {"format": "pt"}})
add("empty metadata", {"__metadata__": {}, **good}, four)
for value in (None, [], "x", 1, {"a": 1}, {"a": None}, {"a": {}}, {"a": "\u0000"}, {"": ""}):
    add(f"metadata {value!r}", {"__metadata__": value, **good}, four)
for pad in (b" ", b"  \n", b"\t", b"\0", b"x", b"{}", b"\r\n", b"\x0b"):
    add(f"header followed by {pad!r}", good, four, pad=pad)
for lead in (" ", "\n", "\t", "\ufeff"):
    add(f"header after {lead!r}", lead + json.dumps(good), four)
for text in ("", "{", "[]", "null", "1", '"a"', "{}x", "{,}", "{'a':1}", '{"a":1,}', "// c\n{}", "{}\n\n", "NaN", '{"a":NaN}'):
    add(f"header {text!r}", text)
for length in (0, 1, 7, 2**31, 2**32, 2**53, 2**63, 2**64 - 1, 100_000_000, 100_000_001):
    add(f"header length {length}", good, four, length=length)
for n in range(0, 9):
    cases.append((f"{n} bytes", file(good, four)[:n]))
for cut in (1, 2, 4, 5):
    cases.append((f"cut by {cut}", file(good, four)[:-cut]))
add("a rest", good, four + b"\0")
for dtype in ("BOOL", "U8", "I8", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "F64", "I64", "U64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "F6_E2M3", "F6_E3M2", "C64", "f32", "F128", "", None, 1, ["F32"]):
    for size in (1, 2, 4, 8):
        add(f"dtype {dtype!r} in {size} bytes", {"a": info(dtype, [1], [0, size])}, b"\0" * size)
for shape, size in (([], 4), ([0], 0), ([0, 3], 0), ([2**40, 0], 0), ([1, 1, 1], 4), ([2], 8), ([2, 3], 24), ([1] * 70, 4), ([2**32, 2**32], 0), ([2**63], 0), ([2**64 - 1, 4], 0), ([0, 2**64 - 1], 0), ([2**64 - 1, 0], 0), ([2**33, 2**31, 0], 0)):
    add(f"shape {shape[:4]} of {len(shape)} in {size} bytes", {"a": info("F32", shape, [0, size])}, b"\0" * size)
for text in ("[-1]", "[1.0]", "[1e0]", "[0.5]", "[true]", "[null]", '["1"]', "[[1]]", "{}", "1", "null", "[18446744073709551616]", "[1,]", "[01]", "[+1]", "[-0]", "[1E0]"):
    add(f"shape {text}", f'{{"a":{{"dtype":"F32","shape":{text},"data_offsets":[0,4]}}}}', four)
for text in ("[0]", "[0,4,4]", "[4,0]", "[0,-4]", "[0,4.0]", "[0.0,4]", "[0,5]", "[0,3]", "[1,5]", "[0,null]", "{}", '"0,4"', "[0,18446744073709551615]", "[0,18446744073709551616]", "[-0,4]", "[4,8]", "[2,2]", "[]", "null"):
    add(f"offsets {text}", f'{{"a":{{"dtype":"F32","shape":[1],"data_offsets":{text}}}}}', four)
add("a key more", {"a": info(extra=1)}, four)
add("a key named twice", '{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', four)
add("a key named twice, otherwise", '{"a":{"dtype":"F16","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', four)
for missing in ("dtype", "shape", "data_offsets"):
    add(f"no {missing}", {"a": {k: v for k, v in info().items() if k != missing}}, four)
add("a tensor twice, equal", '{"a":%s,"a":%s}' % ((json.dumps(info()),) * 2), four)
add("a tensor twice, one after the other", '{"a":%s,"a":%s}' % (json.dumps(info()), json.dumps(info(offsets=(4, 8)))), four * 2)
add("a tensor twice, escaped", '{"a":%s,"\\u0061":%s}' % (json.dumps(info()), json.dumps(info(offsets=(4, 8)))), four * 2)
add("metadata twice", '{"__metadata__":{"a":"b"},"__metadata__":{"c":"d"},"a":%s}' % json.dumps(info()), four)
add("a metadata key twice", '{"__metadata__":{"a":"b","a":"d"},"a":%s}' % json.dumps(info()), four)
for second in ((4, 8), (0, 4), (2, 6), (5, 9), (8, 12)):
    add(f"a second tensor at {second}", {"a": info(), "b": info(offsets=second)}, four * 2)
add("a first tensor not at the start", {"a": info(offsets=(4, 8))}, four * 2)
add("two in the other order", {"b": info(offsets=(4, 8)), "a": info()}, four * 2)
for empty in ((0, 0), (4, 4), (2, 2), (8, 8)):
    add(f"an empty tensor at {empty}", {"a": info(), "e": info("F32", [0], empty)}, four)
add("two empty tensors", {"e": info("F32", [0], (0, 0)), "f": info("F32", [0], (0, 0))})
add("empty between", {"a": info(), "e": info("F32", [0], (4, 4)), "b": info(offsets=(4, 8))}, four * 2)
for name in ("", " ", "a.b", "\u00e9", "\U0001f600", "a\nb", "\u0000", "__proto__", "constructor", "toString", "__metadata", "1", "x" * 5000):
    add(f"name {name[:20]!r}", {name: info()}, four)
for text in (r'"\ud800"', r'"\udc00\ud800"', r'"\ud83d\ude00"', r'"\x"', r'"\/"', '"\t"', '"\x01"'):
    add(f"name {text}", '{%s:%s}' % (text, json.dumps(info())), four)
add("name in bytes that are no UTF-8", b'{"\xff":' + json.dumps(info()).encode() + b"}", four)
add("name of an overlong UTF-8", b'{"\xc0\x80":' + json.dumps(info()).encode() + b"}", four)
for value in (None, 1, "x", [], {}, True):
    add(f"a tensor {value!r}", {"a": value}, four)
for depth in (100, 127, 128, 129, 200, 100000):
    add(f"{depth} lists in each other", '{"a":%s}' % ("[" * depth + "]" * depth))
    if depth < 1000:
        add(f"{depth} lists in each other in metadata", '{"__metadata__":{"x":%s}}' % ("[" * depth + "]" * depth))
for n in (100, 3000):
    add(f"{n} tensors", {f"t{i}": info("U8", [1], [i, i + 1]) for i in range(n)}, b"\0" * n)
for start in (1, 2, 3):
    add(f"unaligned by {start}", {"u": info("U8", [start], [0, start]), "a": info(offsets=(start, start + 4))}, b"\0" * start + four)
for number in ("4e0", "4.0", "4E0", "40e-1", "0x4", "4_0", " 4 ", "٤"):
    add(f"offset {number}", '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,%s]}}' % number, four)
for dtype, shape, size in (("F4", [2], 1), ("F4", [3], 2), ("F4", [3], 1), ("F4", [2, 3], 3), ("F6_E2M3", [4], 3), ("F6_E3M2", [4], 3), ("F6_E3M2", [8], 6), ("F6_E3M2", [1], 1), ("F8_E4M3FNUZ", [1], 1), ("F8_E5M2FNUZ", [1], 1), ("C128", [1], 16), ("C64", [2], 16), ("F32", [2**27, 2**27, 0], 0), ("F32", [2**52, 2**10, 0], 0), ("F32", [2**53 - 1, 0], 0)):
    add(f"dtype {dtype} {shape} in {size} bytes", {"a": info(dtype, shape, [0, size])}, b"\0" * size)
extra = lambda text: '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":%s}}' % text
for text in ("1.5", "-1", "null", '"x"', '{"a":1,"a":2}', '"\\ud800"', "{}", "[1,2.5e3]", "NaN", "1e999", "123456789012345678901234567890"):
    add(f"a key more with {text}", extra(text), four)
for depth in (100, 124, 125, 126, 127, 128, 129):
    add(f"a key more with {depth} lists in each other", extra("[" * depth + "]" * depth), four)
add("a key more, twice", '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"m":1,"m":2}}', four)
add("shape named twice", '{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}', four)
add("offsets named twice, escaped", '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"data\\u005foffsets":[0,4]}}', four)
add("metadata twice, escaped", '{"__metadata__":{},"__metadata\\u005f_":{},"a":%s}' % json.dumps(info()), four)
for text in (r'"\ud800"', r'"\ud83d\ude00"', r'"\/"'):
    add(f"metadata {text}", '{"__metadata__":{"k":%s},"a":%s}' % (text, json.dumps(info())), four)
    add(f"metadata key {text}", '{"__metadata__":{%s:"v"},"a":%s}' % (text, json.dumps(info())), four)
add("metadata with a key shape twice", '{"__metadata__":{"shape":"1","shape":"2"},"a":%s}' % json.dumps(info()), four)
for text in ('["F32",[1],[0,4]]', '[]', '["F32",[1],[0,4],1]'):
    add(f"a tensor {text}", '{"a":%s}' % text, four)


def reference(data):
    with tempfile.NamedTemporaryFile(delete=False) as f:
        f.write(data)
    try:
        with safe_open(f.name, framework="np") as opened:
            return sorted([name, opened.get_slice(name).get_dtype(), opened.get_slice(name).get_shape()] for name in opened.keys())
    except BaseException as error:
        return None
    finally:
        os.unlink(f.name)


def rows():
    for why, data in cases:
        if len(data) <= 6000:
            yield [why, base64.b64encode(data).decode(), reference(data)]
        else:  # repeated text, packed
            yield [why, {"gzip": base64.b64encode(__import__("gzip").compress(data, mtime=0)).decode()}, None if (r := reference(data)) is None else len(r)]


print(json.dumps({"safetensors": safetensors.__version__, "files": list(rows())}, ensure_ascii=True, indent=None).replace("], [", "],\n["))
