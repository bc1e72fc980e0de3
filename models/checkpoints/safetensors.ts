/**
 * The safetensors file format: a little-endian u64 with the header's length, a JSON header of names, dtypes, shapes and byte ranges,
 * then the tensors' bytes with no gap between them. Reading trusts nothing: an inconsistent file throws one line that names the
 * tensor, what was expected and what was found.
 *
 * https://github.com/huggingface/safetensors#format
 */
import { ARRAYS, bitsOf, lazyTensor, type SafeDtype, type SafeTensor } from "./dtypes.ts";
import { type FileBytes, partOf, viewOf } from "./file-bytes.ts";
import { quote, shownValue } from "../shown.ts";
import { checkHeaderText } from "./safetensors-header.ts";

export type { SafeDtype, SafeTensor } from "./dtypes.ts";

// The reference writer's order, so that equal tensors give equal files; wide types first keeps every tensor aligned.
const WRITE_ORDER = Object.keys(ARRAYS).reverse() as SafeDtype[];

/** Whether a file begins as one of this format does: a header's length, then JSON's first character. Nothing more is checked. */
export const isSafetensors = (bytes: Uint8Array): boolean =>
  /^[ \t\n\r]{0,7}\{/.test(String.fromCharCode(...bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + 8))) &&
  new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true) <= BigInt(MAX_HEADER_BYTES);

export interface SafeFile {
  /** In the order of their bytes. */
  readonly tensors: Map<string, SafeTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

const LENGTH_BYTES = 8;
const METADATA = "__metadata__";
const MAX_HEADER_BYTES = 100_000_000; // the reference reader's limit

/**
 * Allocates nothing for tensors: `data` is a view of `bytes` where alignment allows, else a copy that each access makes; of a file that is no
 * array it is read.
 * Throws `safetensors: expected …, got …` for anything but a well-formed file of known dtypes without holes, overlaps or rest.
 */
export function parseSafetensors(bytes: FileBytes): SafeFile {
  const header = readHeader(bytes);
  const buffer = partOf(bytes, LENGTH_BYTES + header.length, bytes.length);
  const metadata = readMetadata(header.json[METADATA]);
  const entries = Object.entries(header.json)
    .filter(([name]) => name !== METADATA)
    .map(([name, info]) => readInfo(name, info, buffer.length))
    .sort((a, b) => a.begin - b.begin || a.end - b.end);

  const tensors = new Map<string, SafeTensor>();
  let at = 0;
  let previous = "the header";
  for (const { name, dtype, shape, begin, end } of entries) {
    if (begin !== at)
      fail(`${quote(name)} to start at byte ${at}, where ${previous} ends`, `${begin}, ${begin < at ? "an overlap" : "a hole"}`);
    tensors.set(name, lazyTensor(dtype, shape, partOf(buffer, begin, end)));
    at = end;
    previous = quote(name);
  }
  if (at !== buffer.length) fail(`the data to end at byte ${at}, where ${previous} ends`, `${buffer.length} bytes of data`);
  checkHeaderText(header.text, METADATA, fail);
  return { tensors, metadata };
}

/**
 * A file of `entries`, sorted by dtype (wide ones first) and name as the reference writer does: the same tensors give the same bytes.
 * Throws where a shape and its data disagree, for a name twice, and for metadata that is not text.
 */
export function writeSafetensors(
  entries: Iterable<readonly [name: string, tensor: SafeTensor]>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
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
  if (8 * data.byteLength !== count * bitsOf(dtype)) fail(`${count} values for ${quote(name)} [${shape.join(",")}]`, String(data.length));
}

function readHeader(bytes: FileBytes): { json: Record<string, unknown>; text: string; length: number } {
  if (bytes.length < LENGTH_BYTES) fail(`a file of at least ${LENGTH_BYTES} bytes`, `${bytes.length}`);
  const declared = viewOf(bytes, 0, LENGTH_BYTES).getBigUint64(0, true);
  const most = Math.min(bytes.length - LENGTH_BYTES, MAX_HEADER_BYTES);
  if (declared < 2n || declared > BigInt(most)) fail(`a header of 2 to ${most} bytes in a file of ${bytes.length}`, `${declared}`);
  const length = Number(declared);
  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
    json = JSON.parse(text);
  } catch (error) {
    return fail("a header of UTF-8 JSON", (error as Error).message.split("\n")[0]!.slice(0, 120));
  }
  if (!isObject(json)) return fail("a header that is a JSON object", quote(text.slice(0, 20)));
  return { json, text, length };
}

function readMetadata(value: unknown): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) fail(`${METADATA} to be an object`, shownValue(value));
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
  // The reference also takes the three values as a list; it passes over other keys.
  const fields = Array.isArray(info) && info.length === 3 ? { dtype: info[0], shape: info[1], data_offsets: info[2] } : info;
  if (!isObject(fields) || !["dtype", "shape", "data_offsets"].every((key) => Object.hasOwn(fields, key))) {
    return fail(`dtype, shape and data_offsets for ${what}`, isObject(fields) ? shownValue(Object.keys(fields)) : shownValue(info));
  }
  const { dtype, shape, data_offsets: offsets } = fields;
  if (typeof dtype !== "string" || !Object.hasOwn(ARRAYS, dtype)) {
    return fail(`dtype of ${what} to be one of ${Object.keys(ARRAYS).join(", ")}`, shownValue(dtype));
  }
  const bytes = (elements(name, shape) * bitsOf(dtype as SafeDtype)) / 8;
  const [begin, end] = Array.isArray(offsets) ? (offsets as unknown[]) : [];
  if (!Array.isArray(offsets) || offsets.length !== 2 || !isCount(begin) || !isCount(end) || begin > end || end > size) {
    return fail(`data_offsets of ${what} in order within ${size} bytes of data`, shownValue(offsets));
  }
  if (end - begin !== bytes) fail(`${bytes} bytes for ${what} ${dtype} [${(shape as number[]).join(",")}]`, `${end - begin}`);
  return { name, dtype: dtype as SafeDtype, shape: shape as number[], begin, end };
}

/** Throws unless `shape` is a list of counts whose product fits in 64 bits. */
function elements(name: string, shape: unknown): number {
  const refuse = () => fail(`shape of ${quote(name)} to be counts below 2^53 with a product below 2^64`, shownValue(shape));
  if (!Array.isArray(shape)) return refuse();
  let count = 1n;
  for (const d of shape as unknown[]) {
    if (!isCount(d)) return refuse();
    count *= BigInt(d);
    if (count >= 1n << 64n) return refuse();
  }
  return Number(count); // beyond 2^53 no file has that many bytes
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function fail(expected: string, got: string): never {
  throw new Error(`safetensors: expected ${expected}, got ${got}`);
}
