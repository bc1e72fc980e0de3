/**
 * The safetensors file format: a little-endian u64 with the header's length, a JSON header of names, dtypes, shapes and byte ranges,
 * then the tensors' bytes with no gap between them. Reading trusts nothing: a file that does not add up is refused with one line saying
 * which tensor, what was expected and what is there.
 *
 * https://github.com/huggingface/safetensors#format
 */
import { repeatedKey } from "./json-keys.ts";

const ARRAYS = {
  BOOL: Uint8Array, U8: Uint8Array, I8: Int8Array, I16: Int16Array, U16: Uint16Array, F16: Uint16Array, BF16: Uint16Array,
  I32: Int32Array, U32: Uint32Array, F32: Float32Array, F64: Float64Array, I64: BigInt64Array, U64: BigUint64Array,
} as const;

// The reference writer's order, so that equal tensors give equal files; wide types first keeps every tensor aligned.
const WRITE_ORDER = Object.keys(ARRAYS).reverse() as SafeDtype[];

export type SafeDtype = keyof typeof ARRAYS;
export type SafeData = Uint8Array | Int8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | Float32Array | Float64Array | BigInt64Array | BigUint64Array;

/** Row-major. F16 and BF16 hold their bits as u16 (see `toF32`), BOOL one byte per element. */
export interface SafeTensor {
  readonly dtype: SafeDtype;
  readonly shape: readonly number[];
  readonly data: SafeData;
}

export interface SafeFile {
  /** In the order of their bytes. */
  readonly tensors: Map<string, SafeTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

const LENGTH_BYTES = 8;
const METADATA = "__metadata__";
const MAX_HEADER_BYTES = 100_000_000; // the reference reader's limit

/**
 * `data` is a view of `bytes` where alignment allows, else a copy, so no more than the file's size is ever allocated for tensors.
 * Throws `safetensors: expected …, got …` for anything but a well-formed file of known dtypes without holes, overlaps or rest.
 */
export function parseSafetensors(bytes: Uint8Array): SafeFile {
  const header = readHeader(bytes);
  const buffer = bytes.subarray(LENGTH_BYTES + header.length);
  const metadata = readMetadata(header.json[METADATA]);
  const entries = Object.entries(header.json)
    .filter(([name]) => name !== METADATA)
    .map(([name, info]) => readInfo(name, info, buffer.length))
    .sort((a, b) => a.begin - b.begin || a.end - b.end);

  const tensors = new Map<string, SafeTensor>();
  let at = 0;
  let previous = "the header";
  for (const { name, dtype, shape, begin, end } of entries) {
    if (begin !== at) fail(`${quote(name)} to start at byte ${at}, where ${previous} ends`, `${begin}, ${begin < at ? "an overlap" : "a hole"}`);
    const data = dataArray(buffer.subarray(begin, end), dtype);
    tensors.set(name, { dtype, shape, data });
    at = end;
    previous = quote(name);
  }
  if (at !== buffer.length) fail(`the data to end at byte ${at}, where ${previous} ends`, `${buffer.length} bytes of data`);
  return { tensors, metadata };
}

/** The F32 values of a floating tensor: `data` itself for F32, else converted. Throws for integers and BOOL. */
export function toF32({ dtype, data }: SafeTensor): Float32Array {
  switch (dtype) {
    case "F32": return data as Float32Array;
    case "F64": return Float32Array.from(data as Float64Array);
    case "F16": return Float32Array.from(data as Uint16Array, halfToNumber);
    case "BF16": {
      const bits = Uint32Array.from(data as Uint16Array, (b) => b << 16); // the upper half of an f32
      return new Float32Array(bits.buffer);
    }
    default: throw new Error(`safetensors: expected F32, F64, F16 or BF16 to make F32, got ${dtype}`);
  }
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/**
 * A file of `entries`, sorted by dtype (wide ones first) and name as the reference writer does: the same tensors give the same bytes.
 * Throws where a shape and its data disagree, for a name twice, and for metadata that is not text.
 */
export function writeSafetensors(entries: Iterable<readonly [name: string, tensor: SafeTensor]>, metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  const rank = (t: SafeTensor) => WRITE_ORDER.indexOf(t.dtype);
  const sorted = [...entries].sort(([a, s], [b, t]) => rank(s) - rank(t) || (a < b ? -1 : a > b ? 1 : 0));
  const seen = new Set<string>();
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"${METADATA}":${JSON.stringify(readMetadata(metadata))}`);
  let size = 0;
  for (const [name, tensor] of sorted) {
    checkEntry(name, tensor);
    if (seen.has(name)) fail("every name once", `${quote(name)} twice`);
    seen.add(name);
    const end = size + tensor.data.byteLength;
    fields.push(`${JSON.stringify(name)}:{"dtype":"${tensor.dtype}","shape":[${tensor.shape.join(",")}],"data_offsets":[${size},${end}]}`);
    size = end;
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const start = LENGTH_BYTES + Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(start + size);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(start - LENGTH_BYTES), true);
  bytes.set(json, LENGTH_BYTES);
  bytes.fill(0x20, LENGTH_BYTES + json.length, start);
  let at = start;
  for (const [, { data }] of sorted) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

function checkEntry(name: string, { dtype, shape, data }: SafeTensor): void {
  if (name === METADATA || /\p{Surrogate}/u.test(name)) fail(`a name of whole characters other than ${METADATA}`, quote(name));
  if (!Object.hasOwn(ARRAYS, dtype)) fail(`a known dtype for ${quote(name)}`, String(dtype));
  const kind = ARRAYS[dtype];
  if (!(data instanceof kind)) fail(`${quote(name)} of ${dtype} in a ${kind.name}`, (data as object)?.constructor?.name ?? typeof data);
  const count = elements(name, shape);
  if (data.length !== count) fail(`${count} values for ${quote(name)} [${shape.join(",")}]`, String(data.length));
}

function readHeader(bytes: Uint8Array): { json: Record<string, unknown>; length: number } {
  if (bytes.length < LENGTH_BYTES) fail(`a file of at least ${LENGTH_BYTES} bytes`, `${bytes.length}`);
  const declared = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  const most = Math.min(bytes.length - LENGTH_BYTES, MAX_HEADER_BYTES);
  if (declared < 2n || declared > BigInt(most)) fail(`a header of 2 to ${most} bytes in a file of ${bytes.length}`, `${declared}`);
  const length = Number(declared);
  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
    json = JSON.parse(text);
  } catch (error) {
    return fail("a header of UTF-8 JSON", (error as Error).message.split("\n")[0]!.slice(0, 120));
  }
  if (!isObject(json) || text[0] !== "{") return fail("a header that starts with a JSON object", quote(text.slice(0, 20)));
  const repeated = repeatedKey(text);
  if (repeated !== null) fail("every key of the header once", `${quote(repeated)} twice`);
  return { json, length };
}

function readMetadata(value: unknown): Record<string, string> {
  if (value === undefined) return {};
  if (!isObject(value)) fail(`${METADATA} to be an object`, show(value));
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") fail(`text for ${METADATA} ${quote(key)}`, typeof text);
  }
  return value as Record<string, string>;
}

interface Info {
  name: string;
  dtype: SafeDtype;
  shape: number[];
  begin: number;
  end: number;
}

function readInfo(name: string, info: unknown, size: number): Info {
  const what = quote(name);
  if (!isObject(info) || Object.keys(info).sort().join() !== "data_offsets,dtype,shape") {
    return fail(`dtype, shape and data_offsets for ${what}`, isObject(info) ? show(Object.keys(info)) : show(info));
  }
  const { dtype, shape, data_offsets: offsets } = info;
  if (typeof dtype !== "string" || !Object.hasOwn(ARRAYS, dtype)) {
    return fail(`dtype of ${what} to be one of ${Object.keys(ARRAYS).join(", ")}`, show(dtype));
  }
  const bytes = elements(name, shape) * ARRAYS[dtype as SafeDtype].BYTES_PER_ELEMENT;
  const [begin, end] = Array.isArray(offsets) ? (offsets as unknown[]) : [];
  if (!Array.isArray(offsets) || offsets.length !== 2 || !isCount(begin) || !isCount(end) || begin > end || end > size) {
    return fail(`data_offsets of ${what} in order within ${size} bytes of data`, show(offsets));
  }
  if (end - begin !== bytes) fail(`${bytes} bytes for ${what} ${dtype} [${(shape as number[]).join(",")}]`, `${end - begin}`);
  return { name, dtype: dtype as SafeDtype, shape: shape as number[], begin, end };
}

/** Throws unless `shape` is a list of counts whose product is exact. */
function elements(name: string, shape: unknown): number {
  const refuse = () => fail(`shape of ${quote(name)} to be counts with a product below 2^53`, show(shape));
  if (!Array.isArray(shape)) return refuse();
  let count = 1;
  for (const d of shape as unknown[]) {
    if (!isCount(d)) return refuse();
    count *= d;
    if (!Number.isSafeInteger(count)) return refuse();
  }
  return count;
}

/** `bytes` as elements, a view where alignment allows, else a copy. Throws unless they are a whole number of elements. */
export function dataArray(bytes: Uint8Array, dtype: SafeDtype): SafeData {
  const kind = ARRAYS[dtype];
  if (bytes.length % kind.BYTES_PER_ELEMENT !== 0) fail(`a multiple of ${kind.BYTES_PER_ELEMENT} bytes for ${dtype}`, `${bytes.length}`);
  const aligned = bytes.byteOffset % kind.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  return new kind(aligned.buffer as ArrayBuffer, aligned.byteOffset, bytes.length / kind.BYTES_PER_ELEMENT);
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** On one line and not too long, whatever the file says. */
const quote = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);

/** A value of the header, shallowly: a hostile one may be nested a million deep. */
function show(value: unknown): string {
  if (Array.isArray(value)) return `[${value.slice(0, 8).map((v) => (Array.isArray(v) ? "a list" : show(v))).join(",")}${value.length > 8 ? ",…" : ""}]`;
  return isObject(value) ? "an object" : typeof value === "string" ? quote(value) : String(value);
}

function fail(expected: string, got: string): never {
  throw new Error(`safetensors: expected ${expected}, got ${got}`);
}
