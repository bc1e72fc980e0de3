/**
 * PyTorch's checkpoint files. `torch.save` since 1.6 makes a zip file with a pickle of the objects, `data.pkl`, and each storage's bytes
 * in `data/KEY`; before, and on request still, a row of pickles with the storages behind them. Reading runs no code (see pickle.ts).
 *
 * https://docs.pytorch.org/docs/stable/notes/serialization.html
 * https://github.com/pytorch/pytorch/blob/main/torch/serialization.py, `_legacy_load`
 */
import { ARRAYS, lazyTensor, type SafeTensor } from "./dtypes.ts";
import { quote } from "../shown.ts";
import { unpickle, unpickleFirst } from "./pickle.ts";
import { kindOf, type Pickled, type Storage, StridedTensor } from "./pickle-values.ts";
import { isZip, readZip } from "./zip.ts";

export type TorchTensors = Map<string, SafeTensor>;

export interface TorchFile {
  /** The state dict, in its order. */
  readonly tensors: TorchTensors;
  /** The text beside it, by name. */
  readonly texts: Readonly<Record<string, string>>;
}

// Tensors may share a storage, so a small file could stand for any amount of f32 values. F16 makes two bytes of each, tied weights more.
const FLOAT_BYTES_PER_BYTE = 4;

const WRAPPERS = ["model", "state_dict"];
const EMA_WRAPPERS = ["model_ema", "state_dict_ema"];

// The pickled number that older files begin with.
const OLD_MAGIC = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
const OLD_VERSION = 1001;
// Of the tar archives before PyTorch 0.2.
const TAR_MAGIC = [0x75, 0x73, 0x74, 0x61, 0x72],
  TAR_AT = 257;

export const isTorchFile = (bytes: Uint8Array): boolean => isZip(bytes) || isOld(bytes) || isTar(bytes);

const isOld = (bytes: Uint8Array): boolean => OLD_MAGIC.slice(0, 4).every((b, i) => bytes[i] === b);
const isTar = (bytes: Uint8Array): boolean => TAR_MAGIC.every((b, i) => bytes[TAR_AT + i] === b);

/** Reads a state dict, bare or as `model` or `state_dict` of a training checkpoint; with `ema`, its moving average. */
export function readTorchFile(bytes: Uint8Array, { ema = false }: { readonly ema?: boolean | undefined } = {}): TorchFile {
  if (isTar(bytes)) fail("a file of PyTorch 0.2 or later (load it there and save it again)", "a tar archive of an older one");
  const { root, storage } = isZip(bytes) ? zipContents(bytes) : oldContents(bytes);
  let budget = FLOAT_BYTES_PER_BYTE * bytes.length;
  const tensors: TorchTensors = new Map();
  for (const [name, value] of stateDict(root, ema)) {
    if (typeof name !== "string" || !(value instanceof StridedTensor))
      return fail(`a tensor as ${kindOf(name)} of the state dict`, kindOf(value));
    const tensor = tensorOn(storage(value.storage), value);
    budget -= Float32Array.BYTES_PER_ELEMENT * count(tensor.shape);
    if (budget < 0) fail(`tensors of at most ${FLOAT_BYTES_PER_BYTE} times the file's ${bytes.length} bytes`, "more");
    tensors.set(name, tensor);
  }
  const texts = root instanceof Map ? [...root].filter(([, v]) => typeof v === "string") : [];
  return { tensors, texts: Object.fromEntries(texts) as Record<string, string> };
}

interface Contents {
  readonly root: Pickled;
  /** A storage's bytes, of its length. */
  readonly storage: (info: Storage) => Uint8Array;
}

function zipContents(bytes: Uint8Array): Contents {
  const files = readZip(bytes);
  const pickles = [...files.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) fail("one data.pkl in the archive", `${pickles.length}`);
  const folder = pickles[0]!.slice(0, -"data.pkl".length);
  const order = files.get(`${folder}byteorder`);
  if (order && new TextDecoder().decode(order.subarray(0, 16)) !== "little") fail("little-endian tensors", "another byte order");
  return {
    root: unpickle(files.get(pickles[0]!)!),
    storage(info) {
      const data = files.get(`${folder}data/${info.key}`) ?? fail(`data/${quote(info.key)} in the archive`, "none");
      return checkSize(info, data);
    },
  };
}

/** Magic, version, machine, objects, the storages' keys; then each storage as an i64 count of elements and its bytes. */
function oldContents(bytes: Uint8Array): Contents {
  if (!OLD_MAGIC.every((b, i) => bytes[i] === b)) fail("PyTorch's number at the file's start", "another pickle");
  let at = OLD_MAGIC.length;
  const next = (): Pickled => {
    const { value, end } = unpickleFirst(bytes.subarray(at));
    at += end;
    return value;
  };
  const version = next();
  if (version !== OLD_VERSION) fail(`version ${OLD_VERSION} of the older format`, kindOf(version));
  const machine = next();
  if (machine instanceof Map && machine.get("little_endian") === false) fail("little-endian tensors", "another byte order");
  const root = next(),
    keys = next();
  if (!Array.isArray(keys)) return fail("a list of the storages' keys", kindOf(keys));
  // How many bytes an element has is told by the tensors that use the storage, so places are found as far as they are asked for.
  const sizes = elementSizes(root);
  const places = new Map<string, readonly [at: number, end: number]>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const key of keys) {
    const size = typeof key === "string" ? sizes.get(key) : undefined;
    if (typeof key !== "string" || size === undefined) return fail("only storages that a tensor uses", kindOf(key));
    if (places.has(key)) fail("every storage once", `${quote(key)} twice`);
    if (at + 8 > bytes.length) fail(`storage ${quote(key)} at byte ${at}`, `${bytes.length} bytes, a truncated file`);
    const elements = view.getBigUint64(at, true);
    at += 8;
    if (elements * BigInt(size) > BigInt(bytes.length - at))
      fail(`${elements} elements of ${size} bytes in storage ${quote(key)}`, `${bytes.length - at} bytes, a truncated file`);
    places.set(key, [at, (at += Number(elements) * size)]);
  }
  if (at !== bytes.length) fail(`the file to end at byte ${at}, where its last storage ends`, `${bytes.length} bytes`);
  return {
    root,
    storage(info) {
      const place = places.get(info.key) ?? fail(`storage ${quote(info.key)} in the file`, "none");
      return checkSize(info, bytes.subarray(...place));
    },
  };
}

/** Bytes per element of every storage that `root` reaches. Each value is looked at once, however often it is referred to. */
function elementSizes(root: Pickled): Map<string, number> {
  const sizes = new Map<string, number>();
  const seen = new Set<Pickled>();
  const todo: Pickled[] = [root];
  for (let value = todo.pop(); value !== undefined; value = todo.pop()) {
    if (typeof value !== "object" || value === null || seen.has(value)) continue;
    seen.add(value);
    if (value instanceof StridedTensor) {
      const { key, dtype } = value.storage,
        size = ARRAYS[dtype].BYTES_PER_ELEMENT;
      if ((sizes.get(key) ?? size) !== size) fail(`one dtype of storage ${quote(key)}`, "two");
      sizes.set(key, size);
    } else if (value instanceof Map) for (const v of value.values()) todo.push(v);
    else if (Array.isArray(value)) for (const v of value) todo.push(v);
    else if ("items" in value) for (const v of value.items) todo.push(v);
    else if ("fields" in value) for (const v of value.fields.values()) todo.push(v);
  }
  return sizes;
}

function checkSize({ dtype, key, length }: Storage, data: Uint8Array): Uint8Array {
  const size = ARRAYS[dtype].BYTES_PER_ELEMENT;
  if (data.length !== length * size) fail(`${length} elements of ${dtype} in data/${key.slice(0, 80)}`, `${data.length / size}`);
  return data;
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

const count = (shape: readonly number[]): number => (shape.includes(0) ? 0 : shape.reduce((a, b) => a * b, 1));

/** A tensor's values: a view where they lie in a row, else copied when asked for. */
function tensorOn(bytes: Uint8Array, { storage: { dtype }, shape, strides, offset }: StridedTensor): SafeTensor {
  const size = ARRAYS[dtype].BYTES_PER_ELEMENT,
    n = count(shape);
  let run = 1;
  const contiguous =
    n === 0 ||
    shape
      .map((d, i) => [d, strides[i]!] as const)
      .reverse()
      .every(([d, stride]) => {
        const follows = d === 1 || stride === run;
        run *= d;
        return follows;
      });
  if (contiguous) return lazyTensor(dtype, shape, bytes.subarray(offset * size, (offset + n) * size));
  const whole = lazyTensor(dtype, shape, bytes);
  return {
    dtype,
    shape,
    get data() {
      return gather(whole, strides, offset, n);
    },
  };
}

function gather({ data: from, shape }: SafeTensor, strides: readonly number[], offset: number, n: number): SafeTensor["data"] {
  const data = from.slice(0, n); // of the same kind; every element is set below
  const index = shape.map(() => 0);
  let at = offset;
  for (let i = 0; i < n; i++) {
    data[i] = from[at]!;
    for (let d = shape.length - 1; d >= 0; d--) {
      at += strides[d]!;
      if (++index[d]! < shape[d]!) break;
      at -= shape[d]! * strides[d]!;
      index[d] = 0;
    }
  }
  return data;
}

function fail(expected: string, got: string): never {
  throw new Error(`torch file: expected ${expected}, got ${got}`);
}
