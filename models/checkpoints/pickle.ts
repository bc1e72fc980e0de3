/**
 * Python's pickle, protocols 2 to 5, read without running anything (see pickle-values.ts). No recursion, and every opcode makes no more
 * than it has bytes, so neither depth nor size can be blown up. The text opcodes of protocols 0 and 1 are left out: `torch.save` never
 * wrote them.
 *
 * Opcodes: https://github.com/python/cpython/blob/main/Lib/pickletools.py
 */
import { build, Closed, fail, Global, kindOf, newObject, type Pickled, reduce, Storage, storageOf, Tuple } from "./pickle-values.ts";

const MAX_LINE = 256;

const mark = Symbol("mark");
type Slot = Pickled | typeof mark;

/** The value of a pickle that fills `bytes`. */
export function unpickle(bytes: Uint8Array): Pickled {
  const { value, end } = unpickleFirst(bytes);
  if (end !== bytes.length) fail("the pickle to end after its value", `${bytes.length - end} more bytes`);
  return value;
}

export interface FirstPickle {
  readonly value: Pickled;
  /** Where the pickle ends. */
  readonly end: number;
  /** Every storage that the pickle names, used by a tensor or not. */
  readonly storages: readonly Storage[];
}

/** The value of the pickle that `bytes` begin with. */
export function unpickleFirst(bytes: Uint8Array): FirstPickle {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const utf8 = new TextDecoder("utf-8", { fatal: true });
  const memo = new Map<number, Pickled>();
  const stack: Slot[] = [];
  const storages: Storage[] = [];
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
    if (!(dict instanceof Map || dict instanceof Closed) || items.length % 2 !== 0)
      return fail("pairs for a dict", `${items.length} values for ${kindOf(dict)}`);
    if (dict instanceof Map) for (let i = 0; i < items.length; i += 2) dict.set(items[i]!, items[i + 1]!);
  };
  const append = (items: readonly Pickled[]): void => {
    const list = top();
    if (!Array.isArray(list) && !(list instanceof Closed)) return fail("a list to append to", kindOf(list));
    if (Array.isArray(list)) for (const item of items) list.push(item);
  };
  /** A length of 8 bytes. */
  const long = (): number => {
    const n = view.getBigUint64(take(8), true);
    return n > BigInt(bytes.length) ? fail(`at most ${bytes.length} bytes`, `${n}`) : Number(n);
  };
  /** Bytes, which no weights are made of: passed over. */
  const skip = (n: number): void => {
    take(n);
    stack.push(new Closed("bytes"));
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
      case "\x80": {
        const version = bytes[take(1)]!;
        if (version < 2 || version > 5) fail("pickle protocol 2 to 5", `${version}`);
        break;
      }
      case ".": {
        const value = pop();
        if (stack.length > 0) fail("the pickle to end after its value", `${stack.length} more values`);
        return { value, end: at, storages };
      }
      case "N":
        stack.push(null);
        break;
      case "\x88":
        stack.push(true);
        break;
      case "\x89":
        stack.push(false);
        break;
      case "K":
        stack.push(bytes[take(1)]!);
        break;
      case "M":
        stack.push(view.getUint16(take(2), true));
        break;
      case "J":
        stack.push(view.getInt32(take(4), true));
        break;
      case "G":
        stack.push(view.getFloat64(take(8), false));
        break;
      case "\x8a": {
        const n = bytes[take(1)]!;
        const from = take(n);
        stack.push(integer(bytes.subarray(from, at)));
        break;
      }
      case "X":
      case "T": // text of Python 2
        stack.push(text(view.getUint32(take(4), true)));
        break;
      case "\x8c":
      case "U": // text of Python 2
        stack.push(text(bytes[take(1)]!));
        break;
      case "\x8d":
        stack.push(text(long()));
        break;
      case "C":
        skip(bytes[take(1)]!);
        break;
      case "B":
        skip(view.getUint32(take(4), true));
        break;
      case "\x8e":
      case "\x96":
        skip(long());
        break;
      case "\x95": // a frame: only a hint
        long();
        break;
      case "\x94":
        put(memo.size);
        break;
      case "\x8f":
        stack.push(new Closed("set"));
        break;
      case "\x90":
        popToMark();
        build(top());
        break;
      case "\x91":
        popToMark();
        stack.push(new Closed("frozenset"));
        break;
      case "\x92": {
        pop(); // keyword arguments
        const args = pop(),
          callee = pop();
        stack.push(newObject(callee, args));
        break;
      }
      case "\x93": {
        const name = pop(),
          module = pop();
        if (typeof module !== "string" || typeof name !== "string")
          fail("a global's module and name", `${kindOf(module)} and ${kindOf(name)}`);
        stack.push(new Global(`${module}.${name}`));
        break;
      }
      case "0":
        if (stack.pop() === undefined) fail("a value on the stack", "none");
        break;
      case "1":
        popToMark();
        break;
      case "2":
        stack.push(top());
        break;
      case "(":
        stack.push(mark);
        break;
      case "]":
        stack.push([]);
        break;
      case "}":
        stack.push(new Map());
        break;
      case ")":
        stack.push(new Tuple([]));
        break;
      case "\x85":
        popTuple(1);
        break;
      case "\x86":
        popTuple(2);
        break;
      case "\x87":
        popTuple(3);
        break;
      case "t":
        stack.push(new Tuple(popToMark()));
        break;
      case "a":
        append([pop()]);
        break;
      case "e":
        append(popToMark());
        break;
      case "s": {
        const value = pop(),
          key = pop();
        set([key, value]);
        break;
      }
      case "u":
        set(popToMark());
        break;
      case "q":
        put(bytes[take(1)]!);
        break;
      case "r":
        put(view.getUint32(take(4), true));
        break;
      case "h":
        get(bytes[take(1)]!);
        break;
      case "j":
        get(view.getUint32(take(4), true));
        break;
      case "c": {
        const module = line(),
          name = line();
        stack.push(new Global(`${module}.${name}`));
        break;
      }
      case "Q": {
        const storage = storageOf(pop());
        if (storage instanceof Storage) storages.push(storage);
        stack.push(storage);
        break;
      }
      case "R": {
        const args = pop(),
          callee = pop();
        stack.push(reduce(callee, args));
        break;
      }
      case "\x81": {
        const args = pop(),
          callee = pop();
        stack.push(newObject(callee, args));
        break;
      }
      case "b": {
        pop(); // the attributes
        build(top());
        break;
      }
      default:
        fail(`an opcode of PyTorch's checkpoints at byte ${place}`, `0x${op.toString(16)}`);
    }
  }
}

/** Little-endian two's complement. */
function integer(bytes: Uint8Array): number | bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  value = BigInt.asIntN(8 * bytes.length, value);
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}
