/**
 * Hostile weights files at random: whole files damaged, and parts put together from what the formats are made of. Every one must end
 * soon, in a value or in one line of error, and without allocating more than its size allows.
 */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { asFloats, readRaw } from "../../models/checkpoints/formats.ts";
import { toHuggingFace, toTimm } from "../../models/checkpoints/names.ts";
import { checkWeightFile, readWeightFiles, writeSharded } from "../../models/checkpoints/sharded.ts";
import { weightsOf } from "../../models/checkpoints/weights.ts";
import { unpickle } from "../../models/checkpoints/pickle.ts";
import { parseSafetensors, writeSafetensors } from "../../models/checkpoints/safetensors.ts";
import { readZip } from "../../models/checkpoints/zip.ts";
import { writeZip } from "../../models/checkpoints/zip-writer.ts";

const file = (name: string) => new Uint8Array(readFileSync(new URL(`../golden/${name}`, import.meta.url)));
const CORPUS = [
  "checkpoint-training.pth",
  "checkpoint-views.pth",
  "checkpoint-plain.pth",
  "checkpoint-timm.pth.tar",
  "checkpoint-old.pth",
  "checkpoint-wrapped.pth",
  "checkpoint-vit.bin",
  "checkpoint-hf4.safetensors",
  "python.safetensors",
].map(file);
const safe = parseSafetensors(file("checkpoint-hf4.safetensors"));
const SHARDED = writeSharded("m", safe.tensors, 2000, {});

const ERROR = /^(zip|pickle|torch file|weights|safetensors|download): expected [^\n]*, got [^\n]*$/;
/** What a reader may allocate beside views of the file: names, and objects with buffers of their own in the runtime. */
const SLACK = 1 << 20;
/** f32 values of f16 files are twice their size, of tensors that share a storage more (torch-file.ts). */
const VALUES = 4;
const MOST_MS = 2000;

export interface Counts {
  files: number;
  read: number;
  refused: number;
  slowestMs: number;
  mostAllocated: number;
}
export const counts: Counts = { files: 0, read: 0, refused: 0, slowestMs: 0, mostAllocated: 0 };

/** Reads as a command does. Throws where that ends other than a reader may. */
async function survive(bytes: Uint8Array, read: () => unknown): Promise<void> {
  const before = process.memoryUsage().arrayBuffers,
    start = performance.now();
  let message: string | null = null;
  try {
    await read();
  } catch (error) {
    message = error instanceof Error && error.constructor === Error ? error.message : `not a plain error: ${String(error)}`;
  }
  const ms = performance.now() - start,
    allocated = process.memoryUsage().arrayBuffers - before;
  counts.files++;
  if (message === null) counts.read++;
  else counts.refused++;
  counts.slowestMs = Math.max(counts.slowestMs, ms);
  counts.mostAllocated = Math.max(counts.mostAllocated, allocated - bytes.length);
  if (message !== null && !ERROR.test(message)) throw new Error(`an unclear error: ${message}`);
  if (ms > MOST_MS) throw new Error(`${ms} ms for ${bytes.length} bytes`);
  if (allocated > bytes.length + SLACK) throw new Error(`${allocated} bytes allocated for ${bytes.length}`);
}

function readAll(bytes: Uint8Array): void {
  const raw = readRaw(bytes);
  let values = 0;
  for (const { shape } of raw.tensors.values()) values += shape.reduce((a, b) => a * b, 1);
  if (values * 4 > VALUES * bytes.length && values > 0 && raw.container === "torch")
    throw new TypeError(`${values} values in ${bytes.length} bytes`);
  const floats = asFloats(raw);
  weightsOf(floats);
  toHuggingFace(toTimm(floats.state).state);
}

const damage = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("set"), at: fc.double({ min: 0, max: 1, noNaN: true }), value: fc.nat(255) }) },
    fc.record({ kind: fc.constant("cut"), at: fc.double({ min: 0, max: 1, noNaN: true }), value: fc.nat(255) }),
    fc.record({ kind: fc.constant("ones"), at: fc.double({ min: 0, max: 1, noNaN: true }), value: fc.integer({ min: 1, max: 8 }) }),
    fc.record({ kind: fc.constant("repeat"), at: fc.double({ min: 0, max: 1, noNaN: true }), value: fc.nat(255) }),
  ),
  { minLength: 1, maxLength: 6 },
);

/** Most damage where it matters: near the beginning and the end of a file. */
function damaged(bytes: Uint8Array, changes: readonly { kind: string; at: number; value: number }[]): Uint8Array {
  let copy = bytes.slice();
  for (const { kind, at, value } of changes) {
    const near = Math.floor((at * 3 - Math.floor(at * 3)) * (at < 2 / 3 ? Math.min(copy.length, 1200) : copy.length));
    const i = Math.min(copy.length - 1, at < 1 / 3 ? near : at < 2 / 3 ? copy.length - 1 - near : near);
    if (i < 0) break;
    if (kind === "set") copy[i] = value;
    else if (kind === "cut") copy = copy.slice(0, i);
    else if (kind === "ones") copy.fill(255, i, i + value);
    else copy.copyWithin(i, Math.max(0, i - value), i);
  }
  return copy;
}

const text = (s: string) => [...s].map((c) => c.charCodeAt(0));
const u32 = (n: number) => [n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >> 24) & 255];
/** Opcodes with arguments that fit them, which random bytes seldom are. */
const opcode = fc.oneof(
  fc.constantFrom(...("(N]})tQReus.ab012\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94" as unknown as string[])).map(text),
  fc
    .constantFrom(
      "torch._utils\n_rebuild_tensor_v2\n",
      "torch\nFloatStorage\n",
      "torch\nHalfStorage\n",
      "collections\nOrderedDict\n",
      "argparse\nNamespace\n",
      "os\nsystem\n",
      "builtins\neval\n",
      "builtins\nset\n",
      "numpy\ndtype\n",
      "collections\nCounter\n",
    )
    .map((g) => text(`c${g}`)),
  fc.constantFrom("storage", "0", "cpu", "a", "state_dict", "model").map((s) => [...text("X"), ...u32(s.length), ...text(s)]),
  fc.oneof(fc.integer({ min: -2, max: 70 }), fc.integer()).map((n) => [...text("J"), ...u32(n)]),
  fc.nat(255).map((n) => [...text("K"), n]),
  fc.nat(3).map((n) => [...text("q"), n]),
  fc.nat(3).map((n) => [...text("h"), n]),
  fc.array(fc.nat(255), { maxLength: 12 }).map((b) => [0x8a, b.length, ...b]),
  fc.nat(255).map((b) => [b]),
  fc.constantFrom(0x8d, 0x8e, 0x95, 0x96).chain((op) => fc.nat(80).map((n) => [op, n, 0, 0, 0, 0, 0, 0, 0])),
  fc.constantFrom("os", "system", "torch", "FloatStorage", "set").map((s) => [0x8c, s.length, ...text(s)]),
  // A whole tensor, its sizes at random.
  fc
    .tuple(
      fc.array(fc.oneof(fc.nat(20), fc.nat()), { maxLength: 3 }),
      fc.array(fc.nat(20), { maxLength: 3 }),
      fc.nat(20),
      fc.constantFrom(16, 16, 15, 2 ** 31 - 1),
    )
    .map(([shape, strides, offset, length]) => {
      const int = (n: number) => [...text("J"), ...u32(n)],
        str = (s: string) => [...text("X"), ...u32(s.length), ...text(s)];
      return [
        ...text("ctorch._utils\n_rebuild_tensor_v2\n(("),
        ...str("storage"),
        ...text("ctorch\nFloatStorage\n"),
        ...str("0"),
        ...str("cpu"),
        ...int(length),
        ...text("tQ"),
        ...int(offset),
        ...text("("),
        ...shape.flatMap(int),
        ...text("t("),
        ...strides.flatMap(int),
        ...text("t\x89NtR"),
      ];
    }),
);
const pickle = fc
  .tuple(fc.constantFrom("}(X\x01\0\0\0a", "}", ""), fc.array(opcode, { maxLength: 40 }), fc.constantFrom("u.", "s.", ".", ""))
  .map(([head, ops, tail]) => Uint8Array.from([...text(head), ...ops.flat(), ...text(tail)]));

const entry = fc.record(
  {
    dtype: fc.constantFrom("F32", "F16", "BF16", "F64", "I64", "BOOL", "F8", null),
    shape: fc.array(fc.oneof(fc.nat(9), fc.constantFrom(2 ** 53, -1, 0.5, 2 ** 31)), { maxLength: 4 }),
    data_offsets: fc.array(fc.oneof(fc.nat(200), fc.constantFrom(2 ** 60, -4)), { minLength: 1, maxLength: 3 }),
  },
  { requiredKeys: ["dtype", "shape"] },
);
const header = fc.oneof(
  fc.dictionary(fc.string({ maxLength: 6 }), fc.oneof(entry, fc.jsonValue()), { maxKeys: 5 }).map((h) => JSON.stringify(h)),
  fc.json(),
  fc.string(),
);

const settingsOf = (limit: Limit) =>
  "runs" in limit
    ? { numRuns: limit.runs, endOnFailure: true }
    : { numRuns: 1e9, interruptAfterTimeLimit: limit.ms, markInterruptAsFailure: false, endOnFailure: true };

/** What ends a property: inputs, or milliseconds. */
type Limit = { readonly runs: number } | { readonly ms: number };

/** Each reader by itself: its own kind of input, damaged, or put together from its own parts. Gives the inputs of each. */
export async function fuzzReaders(limit: Limit, seed: number): Promise<Record<"safetensors" | "index" | "zip" | "pickle", Counts>> {
  const run = async <T>(property: fc.IRawProperty<T>): Promise<Counts> => {
    Object.assign(counts, { files: 0, read: 0, refused: 0, slowestMs: 0, mostAllocated: 0 });
    await fc.assert(property, { ...settingsOf(limit), seed });
    return { ...counts };
  };
  const small = writeSafetensors([
    ["a", { dtype: "F32", shape: [2], data: new Float32Array(2) }],
    ["b", { dtype: "I64", shape: [], data: new BigInt64Array(1) }],
  ]);
  const withHeader = fc.tuple(header, fc.nat(200), fc.option(fc.bigInt(0n, 2n ** 64n - 1n))).map(([h, size, length]) => {
    const json = new TextEncoder().encode(h),
      bytes = new Uint8Array(8 + json.length + size);
    new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
    bytes.set(json, 8);
    return bytes;
  });
  const index = new TextEncoder().encode('{"metadata":{"total_size":8},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}');
  const zip = writeZip([
    ["a/data.pkl", Uint8Array.of(0x4e, 0x2e)],
    ["a/data/0", new Uint8Array(16)],
  ]);
  const plain = Uint8Array.from(
    text("\x80\x02}(X\x01\0\0\0aK\x01X\x01\0\0\0b](K\x02\x8a\x01\x03G?\xf0\0\0\0\0\0\0eccollections\nOrderedDict\n)Rq\0h\0\x86u."),
  );
  const hurt = (bytes: Uint8Array) => damage.map((changes) => damaged(bytes, changes));
  return {
    safetensors: await run(fc.asyncProperty(fc.oneof(withHeader, hurt(small)), (bytes) => survive(bytes, () => parseSafetensors(bytes)))),
    index: await run(
      fc.asyncProperty(
        fc.oneof(
          hurt(index),
          header.map((h) => new TextEncoder().encode(h)),
        ),
        (bytes) => survive(bytes, () => checkWeightFile("m.safetensors.index.json", bytes)),
      ),
    ),
    zip: await run(fc.asyncProperty(hurt(zip), (bytes) => survive(bytes, () => readZip(bytes)))),
    pickle: await run(fc.asyncProperty(fc.oneof(pickle, hurt(plain)), (bytes) => survive(bytes, () => unpickle(bytes)))),
  };
}

/** Whole files, each property up to `limit`. Rejects with fast-check's counterexample. */
export async function fuzz(limit: Limit, seed: number): Promise<Counts> {
  const run = <T>(property: fc.IRawProperty<T>) => fc.assert(property, { ...settingsOf(limit), seed });
  await run(
    fc.asyncProperty(fc.nat(CORPUS.length - 1), damage, async (i, changes) => {
      const bytes = damaged(CORPUS[i]!, changes);
      await survive(bytes, () => readAll(bytes));
    }),
  );
  // Checksums catch nearly all damage inside of zip files, so their parts again with checksums that hold.
  const zips = CORPUS.filter((b) => b[0] === 0x50).map((b) => [...readZip(b)]);
  await run(
    fc.asyncProperty(fc.nat(zips.length - 1), damage, async (i, changes) => {
      const bytes = writeZip(zips[i]!.map(([name, data]) => [name, name.endsWith("data.pkl") ? damaged(data, changes) : data] as const));
      await survive(bytes, () => readAll(bytes));
    }),
  );
  await run(
    fc.asyncProperty(pickle, fc.constantFrom(64, 63, 0), async (p, stored) => {
      const bytes = writeZip([
        ["a/data.pkl", p],
        ["a/data/0", new Uint8Array(stored)],
      ]);
      await survive(bytes, () => readAll(bytes));
    }),
  );
  await run(
    fc.asyncProperty(header, fc.nat(200), fc.option(fc.bigInt(0n, 2n ** 64n - 1n)), async (h, size, length) => {
      const json = new TextEncoder().encode(h),
        bytes = new Uint8Array(8 + json.length + size);
      new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
      bytes.set(json, 8);
      await survive(bytes, () => readAll(bytes));
    }),
  );
  await run(
    fc.asyncProperty(damage, fc.nat(SHARDED.shards.size), async (changes, which) => {
      const files = new Map([["m.index.json", SHARDED.index], ...SHARDED.shards]);
      const name = [...files.keys()][which]!;
      files.set(name, damaged(files.get(name)!, changes));
      const all = new Uint8Array([...files.values()].reduce((n, b) => n + b.length, 0));
      await survive(all, () =>
        readWeightFiles("m.index.json", (path) => {
          const bytes = files.get(path);
          return bytes ? Promise.resolve(bytes) : Promise.reject(new Error(`weights: expected a file, got none`));
        }).then((read) => {
          weightsOf(read);
        }),
      );
    }),
  );
  return counts;
}
