/**
 * PyTorch's checkpoint files. `torch.save` since 1.6 makes a zip file with a pickle of the objects, `data.pkl`, and each storage's bytes
 * in `data/KEY`; before, and on request still, a row of pickles with the storages behind them. Reading runs no code (see pickle.ts).
 *
 * https://docs.pytorch.org/docs/stable/notes/serialization.html
 * https://github.com/pytorch/pytorch/blob/main/torch/serialization.py, `_legacy_load`
 */
import { ARRAYS, lazyTensor, type SafeTensor } from "./dtypes.ts";
import { quote } from "../shown.ts";
import { type FileBytes, partOf, wholeOf } from "./file-bytes.ts";
import { kindOfArchive } from "./other-kinds.ts";
import { type FirstPickle, unpickle, unpickleFirst } from "./pickle.ts";
import { kindOf, type Pickled, type Storage, StridedTensor } from "./pickle-values.ts";
import { stateDict, type StateDictChoice } from "./state-dict.ts";
import { isZip, readZip, zipNames } from "./zip.ts";

export type TorchTensors = Map<string, SafeTensor>;

export interface TorchFile {
  /** The state dict, in its order. */
  readonly tensors: TorchTensors;
  /** Names in the state dict whose values are not tensors, with their kind. */
  readonly others: ReadonlyMap<string, string>;
  /** The text beside it, by name. */
  readonly texts: Readonly<Record<string, string>>;
}

// Tensors may share a storage, so a small file could stand for any amount of f32 values. F16 makes two bytes of each, tied weights more.
const FLOAT_BYTES_PER_BYTE = 4;

// The number that older files begin with, as a pickle of its own.
const OLD_MAGIC = 0x1950a86a20f9469cfc6cn;
const OLD_VERSION = 1001;
const PICKLE = 0x80;
// Of the tar archives before PyTorch 0.2.
const TAR_MAGIC = [0x75, 0x73, 0x74, 0x61, 0x72],
  TAR_AT = 257;

export const isTorchFile = (bytes: Uint8Array): boolean => isZip(bytes) || isPickle(bytes) || isTar(bytes);

/** A pickle of protocol 2 or later says so first. */
const isPickle = (bytes: Uint8Array): boolean => bytes[0] === PICKLE && bytes[1]! >= 2 && bytes[1]! <= 5;
/** Their archives hold `sys_info`, `pickle`, `storages` and `tensors`. */
const isTar = (bytes: Uint8Array): boolean =>
  TAR_MAGIC.every((b, i) => bytes[TAR_AT + i] === b) &&
  /^(\.\/)?(sys_info|pickle|storages|tensors)\0/.test(String.fromCharCode(...bytes.subarray(0, 12)));

/** Reads a state dict (see state-dict.ts for where it may lie in the file). Other values in it are named, not read. */
export function readTorchFile(bytes: FileBytes, choice: StateDictChoice = {}): TorchFile {
  const { root, storage } = isZip(bytes) ? zipContents(bytes) : oldContents(wholeOf(bytes));
  let budget = FLOAT_BYTES_PER_BYTE * bytes.length;
  const tensors: TorchTensors = new Map();
  const others = new Map<string, string>();
  for (const [name, value] of stateDict(root, choice)) {
    if (typeof name !== "string" || !(value instanceof StridedTensor)) {
      others.set(typeof name === "string" ? name : kindOf(name), kindOf(value));
      continue;
    }
    const tensor = tensorOn(storage(value.storage), value);
    budget -= Float32Array.BYTES_PER_ELEMENT * count(tensor.shape);
    if (budget < 0) fail(`tensors of at most ${FLOAT_BYTES_PER_BYTE} times the file's ${bytes.length} bytes`, "more");
    tensors.set(name, tensor);
  }
  const texts = root instanceof Map ? [...root].filter(([name, v]) => typeof name === "string" && typeof v === "string") : [];
  return { tensors, others, texts: Object.fromEntries(texts) as Record<string, string> };
}

interface Contents {
  readonly root: Pickled;
  /** A storage's bytes, checked against its length. */
  readonly storage: (info: Storage) => FileBytes;
}

function zipContents(bytes: FileBytes): Contents {
  const other = kindOfArchive(zipNames(bytes));
  if (other !== null) fail("a checkpoint of PyTorch (torch.save)", other);
  const files = readZip(bytes);
  const pickles = [...files.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) fail("one data.pkl in the archive", `${pickles.length}`);
  const folder = pickles[0]!.slice(0, -"data.pkl".length);
  const order = files.get(`${folder}byteorder`);
  if (order && new TextDecoder().decode(order.subarray(0, 16)) !== "little") fail("little-endian tensors", "another byte order");
  return {
    root: unpickle(wholeOf(files.get(pickles[0]!)!)),
    storage(info) {
      const data = files.get(`${folder}data/${info.key}`) ?? fail(`data/${quote(info.key)} in the archive`, "none");
      return checkSize(info, data);
    },
  };
}

/** Magic, version, machine, objects, the storages' keys; then each storage as an i64 count of elements and its bytes. */
function oldContents(bytes: Uint8Array): Contents {
  if (isTar(bytes)) fail("a file of PyTorch 0.2 or later (load it there and save it again)", "a tar archive of an older one");
  let at = 0;
  const first = (): FirstPickle => {
    const read = unpickleFirst(bytes.subarray(at));
    at += read.end;
    return read;
  };
  const next = (): Pickled => first().value;
  const magic = next();
  if (magic !== OLD_MAGIC)
    fail("PyTorch's number at the file's start", `a pickle of ${kindOf(magic)} (load it in Python and save its weights by torch.save)`);
  const version = next();
  if (version !== OLD_VERSION) fail(`version ${OLD_VERSION} of the older format`, kindOf(version));
  const machine = next();
  if (machine instanceof Map && machine.get("little_endian") === false) fail("little-endian tensors", "another byte order");
  const { value: root, storages } = first();
  const keys = next();
  if (!Array.isArray(keys)) return fail("a list of the storages' keys", kindOf(keys));
  // The file says how many elements a storage has, but their size is known from the objects alone.
  const sizes = elementSizes(storages);
  const places = new Map<string, readonly [at: number, end: number]>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const key of keys) {
    const size = typeof key === "string" ? sizes.get(key) : undefined;
    if (typeof key !== "string" || size === undefined) return fail("only storages of known elements that a tensor uses", kindOf(key));
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

/** Bytes per element of each storage, by key. */
function elementSizes(storages: readonly Storage[]): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const { key, dtype } of storages) {
    const size = ARRAYS[dtype].BYTES_PER_ELEMENT;
    if ((sizes.get(key) ?? size) !== size) fail(`one dtype of storage ${quote(key)}`, "two");
    sizes.set(key, size);
  }
  return sizes;
}

function checkSize({ dtype, key, length }: Storage, data: FileBytes): FileBytes {
  const size = ARRAYS[dtype].BYTES_PER_ELEMENT;
  if (data.length !== length * size) fail(`${length} elements of ${dtype} in data/${key.slice(0, 80)}`, `${data.length / size}`);
  return data;
}

const count = (shape: readonly number[]): number => (shape.includes(0) ? 0 : shape.reduce((a, b) => a * b, 1));

/** A tensor's values: a view where they lie in a row, else copied when asked for. */
function tensorOn(bytes: FileBytes, { storage: { dtype }, shape, strides, offset }: StridedTensor): SafeTensor {
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
  if (contiguous) return lazyTensor(dtype, shape, partOf(bytes, offset * size, (offset + n) * size));
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
