/**
 * Values in a pickle: plain values, tensors, and opaque objects. A global is a name, never code. Calls that make a tensor or a dict are
 * done here; calls that make an ordinary value (a set, a numpy number, a path …) give an opaque object; any other call throws, by name.
 * An object of a class is made without a call, so it is opaque too, whatever its class.
 */
import { quote } from "../shown.ts";
import type { SafeDtype } from "./dtypes.ts";

/** A list is an array, a tuple a `Tuple`, a dict of whatever kind a `Map`. */
export type Pickled =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickledArray
  | Tuple
  | PickledMap
  | Closed
  | StridedTensor
  | Storage
  | Global;
export interface PickledArray extends Array<Pickled> {}
export interface PickledMap extends Map<Pickled, Pickled> {}

export class Tuple {
  readonly items: readonly Pickled[];
  constructor(items: readonly Pickled[]) {
    this.items = items;
  }
}

/** An opaque object: no weights are made of it. Its content is read and dropped. */
export class Closed {
  /** Its class, or the function that makes it. */
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
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

const DICTS = /^collections\.(OrderedDict|defaultdict)$/;
const REBUILD_TENSOR = "torch._utils._rebuild_tensor_v2";
/** A parameter: its tensor, and what only training needs. */
const REBUILD_PARAMETER = /^torch\._utils\._rebuild_parameter(_with_state)?$/;
/** A tensor with attributes: function, type, arguments, state. */
const REBUILD_FROM_TYPE = "torch._tensor._rebuild_from_type_v2";

/** Functions and classes of Python, numpy and PyTorch that only make a value. */
const VALUES = [
  /^(builtins|__builtin__)\.(set|frozenset|bytearray|bytes|complex|range|xrange|slice|object)$/,
  /^(_codecs\.encode|types\.SimpleNamespace|copy_?reg\._reconstructor|collections\.(Counter|deque))$/,
  /^(datetime\.\w+|decimal\.Decimal|fractions\.Fraction|uuid\.UUID|pathlib(\._local)?\.\w*Path)$/,
  /^numpy\.(dtype|ndarray|_?core\.(multiarray\.(scalar|_reconstruct)|numeric\._frombuffer)|random\.[\w.]+|dtypes\.\w+)$/,
  /^torch\.(Size|device|serialization\._get_layout|_utils\._rebuild_\w+)$/,
];

const MAX_RANK = 32;

/** The value of a call of `callee` with `args`. Runs no code. */
export function reduce(callee: Pickled, args: Pickled): Pickled {
  const name = callee instanceof Global ? callee.name : kindOf(callee);
  const items = args instanceof Tuple ? args.items : fail(`a tuple of arguments of ${quote(name)}`, kindOf(args));
  if (callee instanceof Global) {
    if (DICTS.test(name)) return dictOf(name, items);
    if (name === REBUILD_TENSOR && items.length >= 4) return tensorOf(items);
    if (REBUILD_PARAMETER.test(name) && items[0] instanceof StridedTensor) return items[0];
    if (name === REBUILD_FROM_TYPE && items[0] instanceof Global && items[0].name !== REBUILD_FROM_TYPE)
      return reduce(items[0], items[2] ?? null);
    if (VALUES.some((made) => made.test(name))) return new Closed(name);
  }
  return fail("only tensors and plain values", `a call of ${quote(name)} with ${items.length} arguments, which is not run`);
}

/** `OrderedDict()`, `OrderedDict([[key, value], …])` or `defaultdict(of)`. */
function dictOf(name: string, [pairs]: readonly Pickled[]): PickledMap {
  const dict: PickledMap = new Map();
  if (!Array.isArray(pairs)) return dict;
  for (const pair of pairs) {
    const [key, value, ...rest] = pair instanceof Tuple ? pair.items : Array.isArray(pair) ? pair : [];
    if (key === undefined || value === undefined || rest.length > 0) fail(`pairs for ${quote(name)}`, kindOf(pair));
    else dict.set(key, value);
  }
  return dict;
}

/** An object of a class, as `cls.__new__` makes it: opaque, whatever the class. */
export function newObject(callee: Pickled, args: Pickled): Pickled {
  if (!(callee instanceof Global)) return fail("a class of an object", kindOf(callee));
  if (!(args instanceof Tuple)) return fail(`a tuple of arguments of ${quote(callee.name)}`, kindOf(args));
  return DICTS.test(callee.name) ? new Map() : new Closed(callee.name);
}

/** Attributes of an object: none that weights need (an OrderedDict's are a state dict's `_metadata`). */
export function build(target: Pickled): void {
  if (!(target instanceof Closed || target instanceof Map || target instanceof StridedTensor))
    fail("attributes for an object", kindOf(target));
}

/** The storage of a persistent id; opaque if its element type is none of weights (complex, 8-bit floats). */
export function storageOf(id: Pickled): Storage | Closed {
  const [kind, type, key, , length, view = null] = id instanceof Tuple ? id.items : [];
  if (kind !== "storage" || !(type instanceof Global) || typeof key !== "string" || !isCount(length))
    return fail("a storage's type, key and length", kindOf(id));
  const dtype = /^torch\.\w+$/.test(type.name) ? type.name.slice("torch.".length) : "";
  if (!Object.hasOwn(STORAGES, dtype)) return new Closed(type.name);
  if (view !== null) return fail("storages of their own", `${quote(key)}, a part of another`);
  return new Storage(STORAGES[dtype]!, key, length);
}

/** Arguments: storage, offset, shape, strides, and more that only training needs. */
function tensorOf([storage, offset, size, stride]: readonly Pickled[]): StridedTensor | Closed {
  if (storage instanceof Closed) return storage;
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

/** The kind of a value, in Python's words. */
export function kindOf(value: Pickled): string {
  if (value === null) return "None";
  if (value instanceof Global) return quote(value.name);
  if (value instanceof Closed) return `an object of ${quote(value.name)}`;
  if (value instanceof StridedTensor) return "a tensor";
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
