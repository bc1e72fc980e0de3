/**
 * The part of Python's pickle that PyTorch's checkpoints of tensors and plain values use, read without running anything. A global is
 * a name, never code: the few that rebuild tensors are done here, `argparse.Namespace` becomes a record, every other is refused by name.
 * No recursion, and every opcode makes no more than it has bytes, so neither depth nor size can be blown up.
 *
 * Opcodes: https://github.com/python/cpython/blob/main/Lib/pickletools.py
 */
import type { SafeData, SafeDtype } from "./safetensors.ts";

/** A list is an array, a tuple a `Tuple`, a dict or OrderedDict a `Map`. */
export type Pickled = null | boolean | number | bigint | string | PickledArray | Tuple | PickledMap | Namespace | StridedTensor | Storage | Global;
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
class Global {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

export interface StorageInfo {
  readonly dtype: SafeDtype;
  readonly key: string;
  /** Elements. */
  readonly length: number;
}

class Storage {
  readonly dtype: SafeDtype;
  readonly data: SafeData;
  constructor(dtype: SafeDtype, data: SafeData) {
    this.dtype = dtype;
    this.data = data;
  }
}

/** A window on a storage; element [i, j, …] is at offset + i strides[0] + j strides[1] + … */
export class StridedTensor {
  readonly dtype: SafeDtype;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
  readonly storage: SafeData;
  constructor(storage: Storage, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.dtype = storage.dtype;
    this.storage = storage.data;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

const STORAGES: Readonly<Record<string, SafeDtype>> = {
  FloatStorage: "F32", HalfStorage: "F16", BFloat16Storage: "BF16", DoubleStorage: "F64", LongStorage: "I64", IntStorage: "I32",
  ShortStorage: "I16", CharStorage: "I8", ByteStorage: "U8", BoolStorage: "BOOL",
};

const ORDERED_DICT = "collections.OrderedDict", NAMESPACE = "argparse.Namespace";
const REBUILD_TENSOR = "torch._utils._rebuild_tensor_v2", REBUILD_PARAMETER = "torch._utils._rebuild_parameter";
const MAX_RANK = 32, MAX_LINE = 256;

const mark = Symbol("mark");
type Slot = Pickled | typeof mark;

/** The value of a pickle; `storage` gives a tensor's elements and throws where there are none such. */
export function unpickle(bytes: Uint8Array, storage: (info: StorageInfo) => SafeData): Pickled {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const utf8 = new TextDecoder("utf-8", { fatal: true });
  const memo = new Map<number, Pickled>();
  const stack: Slot[] = [];
  let at = 0;

  /** The place of the next `n` bytes. */
  const take = (n: number): number => {
    if (n > bytes.length - at) fail(`${n} bytes at byte ${at}`, `${bytes.length - at}, a truncated pickle`);
    at += n;
    return at - n;
  };
  const text = (n: number): string => {
    const from = take(n);
    try {
      return utf8.decode(bytes.subarray(from, at));
    } catch {
      return fail(`UTF-8 text at byte ${from}`, "other bytes");
    }
  };
  const line = (): string => {
    const end = bytes.subarray(at, at + MAX_LINE).indexOf(10);
    if (end < 0) fail(`a line of at most ${MAX_LINE} bytes at byte ${at}`, "none");
    return text(end + 1).slice(0, -1);
  };
  const pop = (): Pickled => {
    const value = stack.pop();
    if (value === undefined || value === mark) return fail("a value on the stack", "none");
    return value;
  };
  const top = (): Pickled => {
    const value = stack.at(-1);
    return value === undefined || value === mark ? fail("a value on the stack", "none") : value;
  };
  const popToMark = (): Pickled[] => {
    const from = stack.lastIndexOf(mark);
    if (from < 0) fail("a mark on the stack", "none");
    const values = stack.splice(from);
    values.shift();
    return values as Pickled[];
  };
  const popTuple = (n: number): void => {
    const items = Array.from({ length: n }, pop).reverse();
    stack.push(new Tuple(items));
  };
  const set = (items: readonly Pickled[]): void => {
    const dict = top();
    if (!(dict instanceof Map) || items.length % 2 !== 0) return fail("pairs for a dict", `${items.length} values for ${kindOf(dict)}`);
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!;
      if (typeof key !== "string" && typeof key !== "number") return fail("text or a number as a dict's key", kindOf(key));
      dict.set(key, items[i + 1]!);
    }
  };
  const append = (items: readonly Pickled[]): void => {
    const list = top();
    if (!Array.isArray(list)) return fail("a list to append to", kindOf(list));
    for (const item of items) list.push(item);
  };
  const put = (index: number): void => void memo.set(index, top());
  const get = (index: number): void => {
    const value = memo.get(index);
    stack.push(value === undefined ? fail(`value ${index} to be remembered`, "none") : value);
  };

  for (;;) {
    const place = take(1);
    const op = bytes[place]!;
    switch (String.fromCharCode(op)) {
      case "\x80": { const version = bytes[take(1)]!; if (version < 2 || version > 3) fail("pickle protocol 2", `${version}`); break; }
      case ".": {
        const value = pop();
        if (stack.length > 0 || at !== bytes.length) fail("the pickle to end after its value", `${stack.length} more values and ${bytes.length - at} more bytes`);
        return value;
      }
      case "N": stack.push(null); break;
      case "\x88": stack.push(true); break;
      case "\x89": stack.push(false); break;
      case "K": stack.push(bytes[take(1)]!); break;
      case "M": stack.push(view.getUint16(take(2), true)); break;
      case "J": stack.push(view.getInt32(take(4), true)); break;
      case "G": stack.push(view.getFloat64(take(8), false)); break;
      case "\x8a": { const n = bytes[take(1)]!; const from = take(n); stack.push(integer(bytes.subarray(from, at))); break; }
      case "X": { const n = view.getUint32(take(4), true); stack.push(text(n)); break; }
      case "(": stack.push(mark); break;
      case "]": stack.push([]); break;
      case "}": stack.push(new Map()); break;
      case ")": stack.push(new Tuple([])); break;
      case "\x85": popTuple(1); break;
      case "\x86": popTuple(2); break;
      case "\x87": popTuple(3); break;
      case "t": stack.push(new Tuple(popToMark())); break;
      case "a": append([pop()]); break;
      case "e": append(popToMark()); break;
      case "s": { const value = pop(), key = pop(); set([key, value]); break; }
      case "u": set(popToMark()); break;
      case "q": put(bytes[take(1)]!); break;
      case "r": put(view.getUint32(take(4), true)); break;
      case "h": get(bytes[take(1)]!); break;
      case "j": get(view.getUint32(take(4), true)); break;
      case "c": { const module = line(), name = line(); stack.push(knownGlobal(`${module}.${name}`)); break; }
      case "Q": stack.push(storageOf(pop(), storage)); break;
      case "R": { const args = pop(), callee = pop(); stack.push(reduce(callee, args)); break; }
      case "\x81": { const args = pop(), callee = pop(); stack.push(newObject(callee, args)); break; }
      case "b": { const state = pop(); build(top(), state); break; }
      default: fail(`an opcode of PyTorch's checkpoints at byte ${place}`, `0x${op.toString(16)}`);
    }
  }
}

function knownGlobal(name: string): Global {
  const storage = /^torch\.(\w+)$/.exec(name)?.[1];
  const known = [ORDERED_DICT, NAMESPACE, REBUILD_TENSOR, REBUILD_PARAMETER].includes(name) || (storage !== undefined && Object.hasOwn(STORAGES, storage));
  return known ? new Global(name) : fail("only tensors and plain values", `${quote(name)}, which is not run`);
}

function reduce(callee: Pickled, args: Pickled): Pickled {
  const name = callee instanceof Global ? callee.name : kindOf(callee);
  const items = args instanceof Tuple ? args.items : fail(`a tuple of arguments of ${quote(name)}`, kindOf(args));
  if (name === ORDERED_DICT && items.length === 0) return new Map();
  if (name === REBUILD_TENSOR && items.length >= 4) return tensorOf(items);
  if (name === REBUILD_PARAMETER && items[0] instanceof StridedTensor) return items[0];
  return fail("only tensors and plain values", `a call of ${quote(name)} with ${items.length} arguments, which is not run`);
}

function newObject(callee: Pickled, args: Pickled): Namespace {
  const name = callee instanceof Global ? callee.name : kindOf(callee);
  if (name === NAMESPACE && args instanceof Tuple && args.items.length === 0) return new Namespace();
  return fail("only tensors and plain values", `an object of ${quote(name)}, which is not made`);
}

/** A Namespace's fields; an OrderedDict's attributes (a state dict's `_metadata`) are left out. */
function build(target: Pickled, state: Pickled): void {
  if (!(state instanceof Map)) fail("attributes as a dict", kindOf(state));
  if (target instanceof Namespace) target.fields = state as PickledMap;
  else if (!(target instanceof Map)) fail("attributes for a dict or a Namespace", kindOf(target));
}

function storageOf(id: Pickled, storage: (info: StorageInfo) => SafeData): Storage {
  const [kind, type, key, , length] = id instanceof Tuple ? id.items : [];
  const dtype = type instanceof Global ? STORAGES[type.name.replace(/^torch\./, "")] : undefined;
  if (kind !== "storage" || dtype === undefined || typeof key !== "string" || !isCount(length)) return fail("a storage's type, key and length", kindOf(id));
  return new Storage(dtype, storage({ dtype, key, length }));
}

/** Arguments: storage, offset, shape, strides, and more that only training needs. */
function tensorOf([storage, offset, size, stride]: readonly Pickled[]): StridedTensor {
  if (!(storage instanceof Storage) || !(size instanceof Tuple) || !(stride instanceof Tuple)) return fail("a tensor's storage, shape and strides", "others");
  const shape = size.items, strides = stride.items, { length } = storage.data;
  if (shape.length > MAX_RANK || shape.length !== strides.length || !shape.every(isCount) || !strides.every(isCount) || !isCount(offset)) {
    return fail("a tensor's offset, and a shape and strides of equal length", `${show(offset)}, ${show(size)} and ${show(stride)}`);
  }
  let count = shape.includes(0) ? 0 : 1, last = offset;
  if (count > 0) shape.forEach((n, i) => { count *= n; last += (n - 1) * strides[i]!; });
  // More elements than its storage: an expanded tensor, which state dicts do not hold, and a way to ask for any amount of memory.
  if (offset > length || count > length || (count > 0 && last >= length)) {
    return fail(`a tensor within its storage of ${length} elements`, `shape ${show(size)} with strides ${show(stride)} from ${offset}`);
  }
  return new StridedTensor(storage, offset, shape, strides);
}

/** Little-endian two's complement. */
function integer(bytes: Uint8Array): number | bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  value = BigInt.asIntN(8 * bytes.length, value);
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
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
  value instanceof Tuple ? `(${value.items.slice(0, 8).map(kindOf).join(",")}${value.items.length > 8 ? ",…" : ""})` : kindOf(value ?? null);

const quote = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);

function fail(expected: string, got: string): never {
  throw new Error(`pickle: expected ${expected}, got ${got}`);
}
