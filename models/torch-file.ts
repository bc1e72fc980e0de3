/**
 * PyTorch's checkpoint files (`torch.save` since 1.6): a zip file with a pickle of the objects, `data.pkl`, and each storage's bytes in
 * `data/KEY`. Reading runs no code (see pickle.ts); `torch.load(weights_only=True)` reads what is written here.
 *
 * https://docs.pytorch.org/docs/stable/notes/serialization.html
 */
import { kindOf, type Pickled, StridedTensor, unpickle } from "./pickle.ts";
import { dataArray, type SafeData, type SafeTensor } from "./safetensors.ts";
import { readZip, writeZip } from "./zip.ts";

export type TorchTensors = Map<string, SafeTensor>;

export interface TorchFile {
  /** The state dict, in its order. */
  readonly tensors: TorchTensors;
  /** The text beside it, by name. */
  readonly texts: Readonly<Record<string, string>>;
}

// Rows of a transposed tensor and storages out of line are copied; a small file must not ask for a lot of memory by repeating them.
const COPIES_PER_BYTE = 8;

const WRAPPERS = ["model", "state_dict"];
const EMA_WRAPPERS = ["model_ema", "state_dict_ema"];

/** Reads a state dict, bare or as `model` or `state_dict` of a training checkpoint; with `ema`, its moving average. */
export function readTorchFile(bytes: Uint8Array, { ema = false }: { readonly ema?: boolean | undefined } = {}): TorchFile {
  const files = readZip(bytes);
  const pickles = [...files.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) fail("one data.pkl in the archive", `${pickles.length}`);
  const folder = pickles[0]!.slice(0, -"data.pkl".length);
  const order = files.get(`${folder}byteorder`);
  if (order && new TextDecoder().decode(order.subarray(0, 16)) !== "little") fail("little-endian tensors", "another byte order");

  let budget = COPIES_PER_BYTE * bytes.length;
  const spend = (size: number): void => {
    budget -= size;
    if (budget < 0) fail(`tensors to copy of at most ${COPIES_PER_BYTE} times the file's ${bytes.length} bytes`, "more");
  };
  const storages = new Map<string, SafeData>();
  const root = unpickle(files.get(pickles[0]!)!, ({ dtype, key, length }) => {
    const known = storages.get(`${dtype} ${key}`);
    const data = known ?? dataArray(files.get(`${folder}data/${key}`) ?? fail(`data/${kindOf(key)} in the archive`, "none"), dtype);
    if (data.length !== length) fail(`${length} elements of ${dtype} in data/${key}`, `${data.length}`);
    if (!known) storages.set(`${dtype} ${key}`, data);
    return data;
  });
  const tensors: TorchTensors = new Map();
  for (const [name, value] of stateDict(root, ema)) {
    if (typeof name !== "string" || !(value instanceof StridedTensor)) fail(`a tensor as ${kindOf(name)} of the state dict`, kindOf(value));
    else tensors.set(name, materialise(value, spend));
  }
  const texts = root instanceof Map ? [...root].filter(([, v]) => typeof v === "string") : [];
  return { tensors, texts: Object.fromEntries(texts) as Record<string, string> };
}

function stateDict(root: Pickled, ema: boolean): ReadonlyMap<string | number, Pickled> {
  if (!(root instanceof Map)) return fail("a dict of tensors", kindOf(root));
  const wrappers = ema ? EMA_WRAPPERS : WRAPPERS;
  for (const name of wrappers) {
    const inner = root.get(name);
    if (inner instanceof Map) return inner;
  }
  if (ema) fail(EMA_WRAPPERS.join(" or "), `${[...root.keys()].slice(0, 8).map(kindOf).join(", ") || "an empty dict"}`);
  return root;
}

function materialise(t: StridedTensor, spend: (bytes: number) => void): SafeTensor {
  const { dtype, shape, strides, offset, storage } = t;
  const count = shape.includes(0) ? 0 : shape.reduce((a, b) => a * b, 1);
  let run = 1;
  const contiguous = shape.map((n, i) => [n, strides[i]!] as const).reverse().every(([n, stride]) => {
    const follows = n === 1 || stride === run;
    run *= n;
    return follows;
  });
  if (dtype !== "F32") spend(count * Float32Array.BYTES_PER_ELEMENT); // becomes F32 before long
  if (contiguous || count === 0) return { dtype, shape, data: storage.subarray(offset, offset + count) };
  spend(count * storage.BYTES_PER_ELEMENT);
  const data = storage.slice(0, count); // of the same kind; every element is set below
  const index = shape.map(() => 0);
  let from = offset;
  for (let i = 0; i < count; i++) {
    data[i] = storage[from]!;
    for (let d = shape.length - 1; d >= 0; d--) {
      from += strides[d]!;
      if (++index[d]! < shape[d]!) break;
      from -= shape[d]! * strides[d]!;
      index[d] = 0;
    }
  }
  return { dtype, shape, data };
}

export interface WriteOptions {
  /** The state dict's key in a dict around it, as official checkpoints have `model`; bare where not given. */
  readonly wrapper?: string | undefined;
  /** Beside the state dict in that dict. */
  readonly texts?: Readonly<Record<string, string>>;
}

/** A file of F32 `entries` in their order. Same tensors, same bytes. */
export function writeTorchFile(entries: Iterable<readonly [name: string, tensor: { readonly shape: readonly number[]; readonly data: Float32Array }]>, { wrapper, texts = {} }: WriteOptions = {}): Uint8Array {
  const p = new Pickler();
  const storages: [string, Uint8Array][] = [];
  if (wrapper !== undefined) p.code("}(").text(wrapper); // {wrapper: …
  p.global("collections", "OrderedDict").code(")R(");
  for (const [name, { shape, data }] of entries) {
    const key = `${storages.length}`;
    storages.push([`archive/data/${key}`, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]);
    p.text(name).global("torch._utils", "_rebuild_tensor_v2").code("((").text("storage").global("torch", "FloatStorage").text(key).text("cpu");
    p.int(data.length).code("tQ").int(0).ints(shape).ints(stridesOf(shape)).code("\x89").global("collections", "OrderedDict").code(")RtR");
  }
  p.code("u");
  if (wrapper !== undefined) {
    for (const [name, text] of Object.entries(texts)) p.text(name).text(text);
    p.code("u");
  }
  const ascii = (text: string) => new TextEncoder().encode(text);
  return writeZip([
    ["archive/data.pkl", p.finish()], ["archive/byteorder", ascii("little")], ...storages, ["archive/version", ascii("3\n")],
  ]);
}

/** Pickle protocol 2, opcode by opcode. */
class Pickler {
  readonly #bytes: number[] = [0x80, 2];

  code(opcodes: string): this {
    for (const c of opcodes) this.#bytes.push(c.charCodeAt(0));
    return this;
  }
  text(value: string): this {
    const encoded = new TextEncoder().encode(value);
    this.code("X").#u32(encoded.length);
    for (const b of encoded) this.#bytes.push(b);
    return this;
  }
  global(module: string, name: string): this {
    return this.code(`c${module}\n${name}\n`);
  }
  int(value: number): this {
    if (!(value >= 0 && value < 2 ** 31)) fail("sizes below 2^31", `${value}`);
    this.code("J").#u32(value);
    return this;
  }
  ints(values: readonly number[]): this {
    this.code("(");
    for (const v of values) this.int(v);
    return this.code("t");
  }
  finish(): Uint8Array {
    return Uint8Array.from(this.code(".").#bytes);
  }
  #u32(value: number): void {
    for (let shift = 0; shift < 32; shift += 8) this.#bytes.push((value >>> shift) & 255);
  }
}

function stridesOf(shape: readonly number[]): number[] {
  let run = 1;
  return shape.toReversed().map((n) => { const stride = run; run *= Math.max(n, 1); return stride; }).reverse();
}

function fail(expected: string, got: string): never {
  throw new Error(`torch file: expected ${expected}, got ${got}`);
}
