/**
 * What a pickle may hold: plain values and tensors. A global is a name, never code: the few that rebuild tensors are done here,
 * `argparse.Namespace` becomes a record, every other is refused by name.
 */
import type { SafeDtype } from "./dtypes.ts";
import { quote } from "../shown.ts";

/** A list is an array, a tuple a `Tuple`, a dict or OrderedDict a `Map`. */
export type Pickled =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickledArray
  | Tuple
  | PickledMap
  | Namespace
  | StridedTensor
  | Storage
  | Global;
export interface PickledArray extends Array<Pickled> {}
export interface PickledMap extends Map<string | number, Pickled> {}

export class Tuple {
  readonly items: readonly Pickled[];
  constructor(items: readonly Pickled[]) {
    this.items = items;
  }
}

/** `argparse.Namespace`, as training scripts keep their options: fields by name, not looked into. */
export class Namespace {
  fields: ReadonlyMap<string | number, Pickled> = new Map();
}

/** A class or function by name. */
export class Global {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** Elements that lie elsewhere in the file, under `key`. */
export class Storage {
  readonly dtype: SafeDtype;
  readonly key: string;
  /** Elements. */
  readonly length: number;
  constructor(dtype: SafeDtype, key: string, length: number) {
    this.dtype = dtype;
    this.key = key;
    this.length = length;
  }
}

/** A window on a storage; element [i, j, …] is at offset + i strides[0] + j strides[1] + … */
export class StridedTensor {
  readonly storage: Storage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  constructor(storage: Storage, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

const STORAGES: Readonly<Record<string, SafeDtype>> = {
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  DoubleStorage: "F64",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
};

const ORDERED_DICT = "collections.OrderedDict",
  NAMESPACE = "argparse.Namespace";
const REBUILD_TENSOR = "torch._utils._rebuild_tensor_v2",
  REBUILD_PARAMETER = "torch._utils._rebuild_parameter";
const MAX_RANK = 32;

export function knownGlobal(name: string): Global {
  const storage = /^torch\.(\w+)$/.exec(name)?.[1];
  const known =
    [ORDERED_DICT, NAMESPACE, REBUILD_TENSOR, REBUILD_PARAMETER].includes(name) ||
    (storage !== undefined && Object.hasOwn(STORAGES, storage));
  return known ? new Global(name) : fail("only tensors and plain values", `${quote(name)}, which is not run`);
}

export function reduce(callee: Pickled, args: Pickled): Pickled {
  const name = callee instanceof Global ? callee.name : kindOf(callee);
  const items = args instanceof Tuple ? args.items : fail(`a tuple of arguments of ${quote(name)}`, kindOf(args));
  if (name === ORDERED_DICT && items.length === 0) return new Map();
  if (name === REBUILD_TENSOR && items.length >= 4) return tensorOf(items);
  if (name === REBUILD_PARAMETER && items[0] instanceof StridedTensor) return items[0];
  return fail("only tensors and plain values", `a call of ${quote(name)} with ${items.length} arguments, which is not run`);
}

export function newObject(callee: Pickled, args: Pickled): Namespace {
  const name = callee instanceof Global ? callee.name : kindOf(callee);
  if (name === NAMESPACE && args instanceof Tuple && args.items.length === 0) return new Namespace();
  return fail("only tensors and plain values", `an object of ${quote(name)}, which is not made`);
}

/** A Namespace's fields; an OrderedDict's attributes (a state dict's `_metadata`) are left out. */
export function build(target: Pickled, state: Pickled): void {
  if (!(state instanceof Map)) fail("attributes as a dict", kindOf(state));
  if (target instanceof Namespace) target.fields = state as PickledMap;
  else if (!(target instanceof Map)) fail("attributes for a dict or a Namespace", kindOf(target));
}

export function storageOf(id: Pickled): Storage {
  const [kind, type, key, , length, view = null] = id instanceof Tuple ? id.items : [];
  const dtype = type instanceof Global ? STORAGES[type.name.replace(/^torch\./, "")] : undefined;
  if (kind !== "storage" || dtype === undefined || typeof key !== "string" || !isCount(length))
    return fail("a storage's type, key and length", kindOf(id));
  if (view !== null) return fail("storages of their own", `${quote(key)}, a part of another`);
  return new Storage(dtype, key, length);
}

/** Arguments: storage, offset, shape, strides, and more that only training needs. */
function tensorOf([storage, offset, size, stride]: readonly Pickled[]): StridedTensor {
  if (!(storage instanceof Storage) || !(size instanceof Tuple) || !(stride instanceof Tuple))
    return fail("a tensor's storage, shape and strides", "others");
  const shape = size.items,
    strides = stride.items,
    { length } = storage;
  if (shape.length > MAX_RANK || shape.length !== strides.length || !shape.every(isCount) || !strides.every(isCount) || !isCount(offset)) {
    return fail("a tensor's offset, and a shape and strides of equal length", `${show(offset)}, ${show(size)} and ${show(stride)}`);
  }
  let count = shape.includes(0) ? 0 : 1,
    last = offset;
  if (count > 0)
    shape.forEach((n, i) => {
      count *= n;
      last += (n - 1) * strides[i]!;
    });
  // More elements than its storage: an expanded tensor, which state dicts do not hold, and a way to ask for any amount of memory.
  if (offset > length || count > length || (count > 0 && last >= length)) {
    return fail(`a tensor within its storage of ${length} elements`, `shape ${show(size)} with strides ${show(stride)} from ${offset}`);
  }
  return new StridedTensor(storage, offset, shape, strides);
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** What a value is, in Python's words. */
export function kindOf(value: Pickled): string {
  if (value === null) return "None";
  if (value instanceof Global) return value.name;
  if (value instanceof Map) return "a dict";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? `a ${value.constructor.name}` : typeof value === "string" ? quote(value) : `${value}`;
}

const show = (value: Pickled | undefined): string =>
  value instanceof Tuple
    ? `(${value.items.slice(0, 8).map(kindOf).join(",")}${value.items.length > 8 ? ",…" : ""})`
    : kindOf(value ?? null);

export function fail(expected: string, got: string): never {
  throw new Error(`pickle: expected ${expected}, got ${got}`);
}
