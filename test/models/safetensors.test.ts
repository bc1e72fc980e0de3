import { readFileSync } from "node:fs";
import fc from "fast-check";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { toF32 } from "../../models/checkpoints/dtypes.ts";
import { parseSafetensors, type SafeDtype, type SafeTensor, writeSafetensors } from "../../models/checkpoints/safetensors.ts";

const python = new Uint8Array(readFileSync(new URL("../golden/python.safetensors", import.meta.url)));

/** A file with any header text and `dataBytes` zero bytes; the length field is the header's own unless given. */
function file(header: string, dataBytes = 0, length?: bigint): Uint8Array {
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}
const info = (shape: unknown, offsets: unknown, dtype: unknown = "F32") => ({ dtype, shape, data_offsets: offsets });
const withTensors = (tensors: Record<string, unknown>, dataBytes: number) => file(JSON.stringify(tensors), dataBytes);

describe("against the Python library", () => {
  test("reads every dtype", () => {
    const { tensors, metadata } = parseSafetensors(python);
    expect(metadata).toEqual({ format: "pt", quote: 'a "b" \\ é' });
    const values = [0, 1, -2.5, 3.140625, 65504, 2 ** -14];
    const get = (name: string) => tensors.get(name)!;
    expect(get("f32").shape).toEqual([2, 3]);
    expect([...toF32(get("f32"))]).toEqual(values);
    expect([...toF32(get("f16"))]).toEqual(values);
    expect([...toF32(get("f64"))]).toEqual(values.map((v) => Math.fround(v / 3)));
    const bf16 = toF32(get("bf16"));
    expect([...bf16.subarray(0, 4)]).toEqual([0, 1, -2.5, 3.140625]);
    expect(bf16[4]! / 1e30 - 1).toBeCloseTo(0, 2);
    expect(get("i64").data).toEqual(BigInt64Array.of(0n, -1n, 2n ** 53n - 1n, -(2n ** 53n) + 1n));
    expect(get("i32").data).toEqual(Int32Array.of(0, -1, 2 ** 31 - 1, -(2 ** 31)));
    expect(get("u8").data).toEqual(Uint8Array.of(0, 1, 255));
    expect(get("bool").data).toEqual(Uint8Array.of(1, 0, 1));
    expect([get("scalar").shape, get("scalar").data]).toEqual([[], Float32Array.of(7.5)]);
    expect([get("empty").shape, get("empty").data.length]).toEqual([[0, 4], 0]);
  });
  test("writes the same bytes, in whatever order the tensors come", () => {
    const { tensors, metadata } = parseSafetensors(python);
    expect(writeSafetensors(tensors, metadata)).toEqual(python);
    expect(writeSafetensors([...tensors].reverse(), metadata)).toEqual(python);
  });
});

const arrays = {
  F64: fc.float64Array({ maxLength: 6 }),
  F32: fc.float32Array({ maxLength: 6 }),
  I64: fc.bigInt64Array({ maxLength: 6 }),
  I32: fc.int32Array({ maxLength: 6 }),
  F16: fc.uint16Array({ maxLength: 6 }),
  BF16: fc.uint16Array({ maxLength: 6 }),
  U8: fc.uint8Array({ maxLength: 6 }),
};
const tensor: fc.Arbitrary<SafeTensor> = fc.oneof(
  ...Object.entries(arrays).map(([dtype, data]) =>
    (data as fc.Arbitrary<SafeTensor["data"]>).map((data) => ({
      dtype: dtype as SafeDtype,
      shape: data.length % 2 ? [data.length] : [2, data.length / 2],
      data,
    })),
  ),
);
const names = fc.string({ unit: "grapheme", maxLength: 8 }).filter((name) => name !== "__metadata__");
const files = fc.tuple(
  fc.uniqueArray(fc.tuple(names, tensor), { selector: ([name]) => name, maxLength: 6 }),
  fc.dictionary(names, fc.string()),
);

describe("laws", () => {
  test("what is written is read back, at any alignment of the file in memory", () => {
    fc.assert(
      fc.property(files, fc.nat(8), ([entries, metadata], shift) => {
        const bytes = writeSafetensors(entries, metadata);
        const moved = new Uint8Array(bytes.length + shift).subarray(shift);
        moved.set(bytes);
        const back = parseSafetensors(moved);
        expect(back.tensors).toEqual(new Map(entries));
        expect({ ...back.metadata }).toEqual({ ...metadata });
        expect(new DataView(bytes.buffer).getUint32(0, true) % 8).toBe(0);
      }),
    );
  });
  test("a file cut anywhere is refused, in one line", () => {
    fc.assert(
      fc.property(fc.nat(python.length - 1), (length) => {
        expect(() => parseSafetensors(python.subarray(0, length))).toThrow(/^safetensors: expected [^\n]*, got [^\n]*$/);
      }),
    );
  });
  test("a damaged byte is refused in one line or changes nothing but values", () => {
    fc.assert(
      fc.property(fc.nat(python.length - 1), fc.nat(255), (at, value) => {
        const bytes = python.slice();
        bytes[at] = value;
        try {
          parseSafetensors(bytes);
        } catch (error) {
          expect((error as Error).message).toMatch(/^safetensors: expected [^\n]*, got [^\n]*$/);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("refusals", () => {
  const ok = { a: info([2], [0, 8]), b: info([1], [8, 12]) };
  test.each<[string, Uint8Array, string]>([
    ["no bytes", new Uint8Array(), "a file of at least 8 bytes, got 0"],
    ["an absurd header length", file("{}", 0, 2n ** 60n), "a header of 2 to 2 bytes in a file of 10, got 1152921504606846976"],
    ["the largest header length", file("{}", 0, 2n ** 64n - 1n), "got 18446744073709551615"],
    ["a header longer than the file", file("{}", 0, 3n), "a header of 2 to 2 bytes in a file of 10, got 3"],
    ["no header", file("{}", 0, 0n), "got 0"],
    ["no JSON", file('{"a":'), "a header of UTF-8 JSON, got"],
    ["no UTF-8", file("{}").fill(0xff, 8), "a header of UTF-8 JSON, got"],
    ["a list", file("[1]"), 'a header that is a JSON object, got "[1]"'],
    ["metadata twice", file('{"__metadata__":{},"__metadata\\u005f_" :{}}'), 'every key of the header once, got "__metadata__" twice'],
    ["a field twice", file('{"a":{"dtype":"F32","shape":[1],"shape":[],"data_offsets":[0,4]}}', 4), 'got "shape" twice'],
    ["metadata that is no text", withTensors({ __metadata__: { n: 1 } }, 0), 'text for __metadata__ "n", got number'],
    ["metadata that is a list", withTensors({ __metadata__: [] }, 0), "__metadata__ to be an object, got"],
    ["an unknown dtype", withTensors({ a: info([1], [0, 1], "F128") }, 1), 'F32, F64, I64, U64, got "F128"'],
    ["a dtype of Object's", withTensors({ a: info([1], [0, 1], "constructor") }, 1), 'got "constructor"'],
    ["a missing field", withTensors({ a: { dtype: "F32", shape: [] } }, 4), 'dtype, shape and data_offsets for "a", got ["dtype","shape"]'],
    ["a number for a tensor", withTensors({ a: 3 }, 0), 'dtype, shape and data_offsets for "a", got 3'],
    ["a negative dimension", withTensors({ a: info([-1], [0, 4]) }, 4), 'shape of "a" to be counts'],
    ["half a dimension", withTensors({ a: info([1.5], [0, 6]) }, 6), 'shape of "a" to be counts'],
    ["a shape beyond 2^64", withTensors({ a: info([2 ** 32, 2 ** 32], [0, 4]) }, 4), "a product below 2^64, got [4294967296,4294967296]"],
    [
      "a count with a point",
      file('{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}', 4),
      "counts in plain digits in shapes and data_offsets, got 1.0",
    ],
    [
      "half a character",
      file('{"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
      'whole characters in the header\'s texts, got "\\ud800"',
    ],
    ["a shape that is text", withTensors({ a: info("2", [0, 8]) }, 8), 'shape of "a" to be counts'],
    ["more bytes than the shape", withTensors({ a: info([2], [0, 12]) }, 12), '8 bytes for "a" F32 [2], got 12'],
    ["offsets past the end", withTensors({ a: info([2], [0, 8]) }, 7), 'data_offsets of "a" in order within 7 bytes of data, got [0,8]'],
    ["offsets in reverse", withTensors({ a: info([2], [8, 0]) }, 8), "data_offsets"],
    ["negative offsets", withTensors({ a: info([2], [-8, 0]) }, 8), "data_offsets"],
    ["three offsets", withTensors({ a: info([2], [0, 8, 8]) }, 8), "data_offsets"],
    ["no offsets", withTensors({ a: info([2], null) }, 8), "data_offsets"],
    ["an overlap", withTensors({ ...ok, b: info([1], [4, 8]) }, 12), '"b" to start at byte 8, where "a" ends, got 4, an overlap'],
    ["a hole", withTensors({ ...ok, b: info([1], [12, 16]) }, 16), '"b" to start at byte 8, where "a" ends, got 12, a hole'],
    ["a hole before the first", withTensors({ a: info([1], [4, 8]) }, 8), '"a" to start at byte 0, where the header ends, got 4, a hole'],
    ["bytes after the last", withTensors(ok, 13), 'the data to end at byte 12, where "b" ends, got 13 bytes of data'],
    ["a name of many lines", withTensors({ ["x\n".repeat(99)]: info([-1], [0, 4]) }, 4), "shape of"],
  ])("%s", (_, bytes, message) => {
    expect(() => parseSafetensors(bytes)).toThrow(message);
    expect(() => parseSafetensors(bytes)).toThrow(/^safetensors: expected [^\n]{1,300}, got [^\n]{1,800}$/);
  });
  test("a name of megabytes and brackets by the thousand do not exhaust the reader", () => {
    expect(parseSafetensors(withTensors({ ["\\".repeat(2 ** 22)]: info([1], [0, 4]) }, 4)).tensors.size).toBe(1);
    expect(() => parseSafetensors(file(`{"a":${"[".repeat(1e6)}${"]".repeat(1e6)}}`))).toThrow(/^safetensors: expected /);
  });
  test.each<[string, [string, SafeTensor][], string]>([
    ["a shape unlike its data", [["a", { dtype: "F32", shape: [3], data: new Float32Array(2) }]], '3 values for "a" [3], got 2'],
    [
      "an array unlike its dtype",
      [["a", { dtype: "F32", shape: [2], data: new Float64Array(2) }]],
      '"a" of F32 in a Float32Array, got Float64Array',
    ],
    [
      "a name twice",
      [
        ["a", { dtype: "U8", shape: [0], data: new Uint8Array() }],
        ["a", { dtype: "U8", shape: [0], data: new Uint8Array() }],
      ],
      'every name once, got "a" twice',
    ],
    [
      "the metadata's name",
      [["__metadata__", { dtype: "U8", shape: [0], data: new Uint8Array() }]],
      "a name of whole characters other than __metadata__",
    ],
    ["half a character", [["\ud800", { dtype: "U8", shape: [0], data: new Uint8Array() }]], "a name of whole characters"],
  ])("writing %s", (_, entries, message) => expect(() => writeSafetensors(entries)).toThrow(`safetensors: expected ${message}`));
});

test("toF32: special values, and no integers", () => {
  const of = (dtype: "F16" | "BF16", bits: number) => toF32({ dtype, shape: [1], data: Uint16Array.of(bits) })[0];
  expect([0x7c00, 0xfc00, 0x7e00, 0x8000, 1, 0x3ff, 0x400].map((b) => of("F16", b))).toEqual([
    Infinity,
    -Infinity,
    NaN,
    -0,
    2 ** -24,
    1023 * 2 ** -24,
    2 ** -14,
  ]);
  expect([0x7f80, 0xff80, 0x7fc0, 0x8000, 1].map((b) => of("BF16", b))).toEqual([Infinity, -Infinity, NaN, -0, 2 ** -133]);
  expect(() => toF32({ dtype: "I32", shape: [1], data: Int32Array.of(1) })).toThrow(
    "safetensors: expected F32, F64, F16 or BF16 to make F32, got I32",
  );
});

describe("what the reference reader takes and refuses", () => {
  const golden = JSON.parse(readFileSync(new URL("../golden/safetensors-edges.json", import.meta.url), "utf8")) as {
    readonly files: readonly (readonly [
      why: string,
      file: string | { gzip: string },
      read: null | number | (readonly [string, string, number[]])[],
    ])[];
  };
  // A size that no number here can hold exactly, of a tensor without elements.
  const BEYOND = ["shape [0, 18446744073709551615] of 2 in 0 bytes", "shape [18446744073709551615, 0] of 2 in 0 bytes"];
  test("of some hundred edge files each, with the same names, dtypes and shapes", () => {
    const wrong: unknown[] = [];
    for (const [why, file, expected] of golden.files) {
      const bytes = new Uint8Array(typeof file === "string" ? Buffer.from(file, "base64") : gunzipSync(Buffer.from(file.gzip, "base64")));
      let got: unknown = null;
      try {
        const { tensors } = parseSafetensors(bytes);
        got = [...tensors].map(([name, { dtype, shape }]) => [name, dtype, shape] as const).sort(([a], [b]) => (a < b ? -1 : 1));
        if (typeof expected === "number") got = tensors.size;
      } catch (error) {
        expect((error as Error).message, why).toMatch(/^safetensors: expected [^\n]{1,300}, got [^\n]{0,800}$/);
      }
      if (JSON.stringify(got) !== JSON.stringify(BEYOND.includes(why) ? null : expected)) wrong.push([why, expected, got]);
    }
    expect(wrong).toEqual([]);
    expect(golden.files.filter(([, , read]) => read !== null).length).toBeGreaterThan(90);
    expect(golden.files.filter(([, , read]) => read === null).length).toBeGreaterThan(200);
  });
});
