/** Pickles and zip archives that nobody should believe: a clear error each, and nothing runs. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { unpickle } from "../../models/checkpoints/pickle.ts";
import { readTorchFile } from "../../models/checkpoints/torch-file.ts";
import { readZip } from "../../models/checkpoints/zip.ts";
import { writeZip } from "../../models/checkpoints/zip-writer.ts";

/** Pickles written by PyTorch's own Python (test/golden/checkpoints.py), in hexadecimal. */
const golden = JSON.parse(readFileSync(new URL("../golden/checkpoints.json", import.meta.url), "utf8")) as Record<
  "evil" | "bytes" | "path",
  string
>;
const ascii = (text: string) => new TextEncoder().encode(text);
const fromHex = (hex: string) => Uint8Array.from(hex.match(/../g)!, (b) => parseInt(b, 16));

describe("hostile pickles", () => {
  const read = unpickle;
  test("what would run or be made is refused by name", () => {
    expect(() => read(fromHex(golden.evil))).toThrow(/a call of "(posix|nt)\.system" with 1 arguments, which is not run/);
    for (const name of [
      "builtins eval",
      "builtins exec",
      "builtins getattr",
      "__builtin__ apply",
      "os system",
      "subprocess Popen",
      "torch load",
      "torch.storage _load_from_bytes",
      "torch.hub load",
      "collections namedtuple",
      "collections.OrderedDict fromkeys",
      "numpy load",
      "copyreg __newobj__",
      "runpy _run_code",
    ]) {
      const [module, attribute] = name.split(" ");
      const call = `"${module}.${attribute}" with 0 arguments, which is not run`;
      expect(() => read(ascii(`c${module}\n${attribute}\n)R.`)), name).toThrow(call);
      // The same by two texts of protocol 4.
      const text = (s: string) => [0x8c, s.length, ...ascii(s)];
      expect(() => read(Uint8Array.from([0x80, 4, ...text(module!), ...text(attribute!), 0x93, 0x29, 0x52, 0x2e])), name).toThrow(call);
    }
    // Through a tensor's attributes, and called on what a call gave.
    expect(() => read(ascii("ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN(ttR."))).toThrow('a call of "os.system"');
    expect(() => read(ascii("ccollections\nCounter\n)R)R."))).toThrow("which is not run");
  });
  test("an object of a class and a name are no calls: they stay closed", () => {
    for (const pickle of ["csubprocess\nPopen\n)\x81.", "csubprocess\nPopen\n)\x81}b.", "cos\nsystem\n.", "ca\nb\n)\x81(NNu(Ne."]) {
      const value = read(Uint8Array.from(pickle, (c) => c.charCodeAt(0)));
      expect(value).toMatchObject({ name: expect.any(String) });
      expect(Object.keys(value as object)).toEqual(["name"]);
    }
  });
  test("a call that the format has no use for", () => {
    expect(() => read(ascii("cargparse\nNamespace\n)R."))).toThrow('a call of "argparse.Namespace"');
    expect(() => read(ascii("ccollections\nOrderedDict\n)\x81."))).toThrow();
    expect(() => read(ascii("iposix\nsystem\n."))).toThrow("got 0x69");
  });
  test("malformed ones are errors", () => {
    for (const text of [
      "",
      ".",
      "(.",
      "t.",
      "N",
      "NN.",
      "N.N",
      "}Ns.",
      "](Nu.",
      "Na.",
      "h\u0005.",
      "q\u0001.",
      "X\u007f\u007f\u007f\u007f",
      "c",
      "NQ.",
      "Nb.",
      "NNR.",
      "((t.",
      "0.",
      "1.",
      "2.",
      "C\u0009ab",
      "NN\u0093.",
      "N(t\u0081.",
      "N(\u0090.",
      "N)b.",
    ]) {
      expect(() => read(ascii(text)), JSON.stringify(text)).toThrow(/^pickle: expected /);
    }
  });
  test("numbers and texts that claim more than there is, and memo bombs", () => {
    expect(() => read(ascii("\u008b\u007f\u007f\u007f\u007f"))).toThrow("pickle: expected an opcode"); // LONG4
    expect(() => read(Uint8Array.of(0x80, 2, 0x8a, 255, 1, 2))).toThrow("255 bytes at byte 4, got 2");
    expect(() => read(Uint8Array.of(0x80, 2, 0x58, 255, 255, 255, 255, 0x61))).toThrow("4294967295 bytes");
    expect(() => read(Uint8Array.of(0x80, 4, 0x95))).toThrow("8 bytes at byte 3");
    expect(() => read(Uint8Array.of(0x80, 6, 0x4e, 0x2e))).toThrow("pickle protocol 2 to 5, got 6");
    expect(() => read(Uint8Array.of(0x80, 4, 0x8e, 0, 0, 0, 0, 0, 1, 0, 0))).toThrow("at most 11 bytes, got 1099511627776");
    // Tuples of two references to the one before: 2^200 leaves, if anybody walked them.
    const bomb: number[] = [0x29];
    for (let i = 0; i < 200; i++) bomb.push(0x71, i, 0x68, i, 0x86);
    bomb.push(0x2e);
    expect(read(Uint8Array.from(bomb))).toBeDefined();
    const state = [0x7d, 0x58, 1, 0, 0, 0, 0x61, ...bomb.slice(0, -1), 0x73, 0x2e];
    expect(() => readTorchFile(writeZip([["a/data.pkl", Uint8Array.from(state)]]))).toThrow(
      'torch file: expected a dict of tensors, got "a"',
    );
  });
  test("a million nested lists cost nothing", () => {
    const deep = new Uint8Array(2_000_001).fill("]".charCodeAt(0), 0, 1_000_000).fill("a".charCodeAt(0), 999_999 + 1);
    deep[1_999_999] = ".".charCodeAt(0);
    expect(Array.isArray(read(deep.subarray(0, 2_000_000)))).toBe(true);
  });

  const names = ["archive/data.pkl", "archive/data/0"] as const;
  /** One tensor "a" of a storage with four floats. */
  const tensor = (offset: number, shape: number[], strides: number[], length = 4, key = "0", stored = 16) => {
    const int = (n: number) => `J${String.fromCharCode(n & 255, (n >> 8) & 255, (n >> 16) & 255, n >> 24)}`;
    const str = (s: string) => `X${String.fromCharCode(s.length)}\0\0\0${s}`;
    const pickle =
      `}${str("a")}ctorch._utils\n_rebuild_tensor_v2\n((${str("storage")}ctorch\nFloatStorage\n${str(key)}${str("cpu")}${int(length)}tQ` +
      `${int(offset)}(${shape.map(int).join("")}t(${strides.map(int).join("")}t\x89)tRs.`;
    return writeZip([
      [names[0], Uint8Array.from(pickle, (c) => c.charCodeAt(0))],
      [names[1], new Uint8Array(stored)],
    ]);
  };
  test("tensors beyond their storage, and ones that unfold to more", () => {
    expect(readTorchFile(tensor(1, [3], [1])).tensors.get("a")!.data).toEqual(new Float32Array(3));
    expect(readTorchFile(tensor(0, [0, 127], [127, 1])).tensors.get("a")!.shape).toEqual([0, 127]);
    expect(() => readTorchFile(tensor(2, [3], [1]))).toThrow(
      "expected a tensor within its storage of 4 elements, got shape (3) with strides (1) from 2",
    );
    expect(() => readTorchFile(tensor(0, [2, 2], [3, 1]))).toThrow("within its storage");
    expect(() => readTorchFile(tensor(0, [127, 127], [0, 0]))).toThrow("within its storage");
    expect(() => readTorchFile(tensor(0, [2], [1, 1]))).toThrow("of equal length");
    expect(() => readTorchFile(tensor(0, [2], [1], 5))).toThrow("expected 5 elements of F32 in data/0, got 4");
    expect(() => readTorchFile(tensor(0, [2], [1], 4, "1"))).toThrow('expected data/"1" in the archive, got none');
    expect(() => readTorchFile(tensor(0, [2], [1], 4, "0", 15))).toThrow("expected 4 elements of F32 in data/0, got 3.75");
  });
});

describe("hostile zip files", () => {
  const zip = () =>
    writeZip([
      ["a/data.pkl", ascii("abc")],
      ["a/data/0", ascii("defg")],
    ]);
  const patched = (at: number, value: number) => {
    const bytes = zip();
    bytes[at < 0 ? bytes.length + at : at] = value;
    return bytes;
  };
  const central = (i: number) => {
    // the start of an entry of the directory
    const bytes = zip();
    let at = new DataView(bytes.buffer).getUint32(bytes.length - 6, true);
    for (; i > 0; i--) at += 46 + new DataView(bytes.buffer).getUint16(at + 28, true);
    return at;
  };
  test("its own files", () => {
    expect([...readZip(zip())].map(([name, data]) => [name, new TextDecoder().decode(data), data.byteOffset % 64])).toEqual([
      ["a/data.pkl", "abc", 0],
      ["a/data/0", "defg", 0],
    ]);
  });
  test("cut anywhere", () => {
    const bytes = zip();
    for (let n = 0; n < bytes.length; n++) expect(() => readZip(bytes.subarray(0, n))).toThrow(/^zip: expected /);
  });
  test("overlaps, places out of range, compression, sizes, names twice", () => {
    expect(() => readZip(patched(central(0) + 10, 8))).toThrow('"a/data.pkl" stored without compression, got method 8');
    expect(() => readZip(patched(central(0) + 8, 1))).toThrow("in clear");
    expect(() => readZip(patched(8, 8))).toThrow('"a/data.pkl" stored without compression, got method 8');
    expect(() => readZip(patched(central(0) + 24, 9))).toThrow("in its own size of 9 bytes, got 3");
    expect(() => readZip(patched(central(1) + 42, 0))).toThrow("or later, where the entry before it ends, got 0");
    expect(() => readZip(patched(central(1) + 45, 120))).toThrow("got no entry there");
    const long = patched(central(1) + 20, 127);
    long[central(1) + 24] = 127;
    expect(() => readZip(long)).toThrow("to end before the directory");
    expect(() => readZip(patched(64, 0))).toThrow("a damaged file");
    expect(() => readZip(patched(-12, 3))).toThrow("entries in a directory");
    expect(() =>
      readZip(
        writeZip([
          ["a", ascii("x")],
          ["a", ascii("x")],
        ]),
      ),
    ).toThrow('every name once, got "a" twice');
  });
});
