/**
 * Weights in several files with an index beside them, as Hugging Face stores large models: `model.safetensors.index.json` or
 * `pytorch_model.bin.index.json`, whose `weight_map` says which file has which tensor.
 *
 * https://huggingface.co/docs/transformers/big_models#sharded-checkpoints
 */
import { type AnyWeights, asFloats, isOnnx, openWeights, type RawWeights, readRaw, type ReadOptions } from "./formats.ts";
import type { SafeTensor } from "./dtypes.ts";
import { quote } from "../shown.ts";
import { type FileBytes, wholeOf } from "./file-bytes.ts";
import { repeatedKey } from "./json-keys.ts";
import { writeSafetensors } from "./safetensors.ts";

/** Reads the bytes of a path, or of a URL if the caller's reader supports them; of a large file when they are asked for. */
export type ReadFile = (path: string) => Promise<FileBytes>;

const SHARD = /^[\w-][\w.-]*\.(safetensors|bin|pth|pt)$/;
const INDEX = /\.json$/;

/** The path of a file without what follows it in a URL. */
const pathOf = (path: string): string => (/^https?:/.test(path) ? path.replace(/[?#].*$/s, "") : path);

export const isIndex = (path: string): boolean => INDEX.test(pathOf(path));

/** Weights at a path: one file, or an index of several. Throws `weights: expected …, got …`, with the shard's name where it is one's fault. */
export async function readWeightFiles(path: string, read: ReadFile, options: ReadOptions = {}): Promise<AnyWeights> {
  const bytes = await read(path);
  if (!isIndex(path)) return openWeights(bytes, options);
  const shards = parseIndex(wholeOf(bytes));
  const tensors = new Map<string, SafeTensor>();
  const metadata: Record<string, string> = {};
  const others: string[] = [];
  let container: RawWeights["container"] = "safetensors";
  for (const [file, names] of shards) {
    const contents = await read(beside(path, file));
    const shard = inShard(file, () => readRaw(contents, options));
    const missing = names.filter((name) => !shard.tensors.has(name)),
      extra = [...shard.tensors.keys()].filter((name) => !names.includes(name));
    if (missing.length > 0) fail(`${list(missing)} in ${file}, as the index says`, "none");
    if (extra.length > 0) fail(`only what the index says in ${file}`, list(extra));
    for (const name of names) tensors.set(name, shard.tensors.get(name)!);
    Object.assign(metadata, shard.metadata);
    others.push(...shard.others);
    container = shard.container;
  }
  return asFloats({ container, tensors, others, metadata }, options);
}

/** Throws unless `bytes`, of a file at `path`, are an index or weights. */
export function checkWeightFile(path: string, bytes: Uint8Array): void {
  if (isIndex(path)) parseIndex(bytes);
  else if (!isOnnx(bytes)) readRaw(bytes);
}

/** The names of each file's tensors. */
function parseIndex(bytes: Uint8Array): Map<string, string[]> {
  let json: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    json = JSON.parse(text);
    const repeated = repeatedKey(text);
    if (repeated !== null) fail("every key of an index once", `${quote(repeated)} twice`);
  } catch (error) {
    if ((error as Error).message.startsWith("weights: ")) throw error;
    fail("an index of JSON", (error as Error).message.split("\n")[0]!.slice(0, 120));
  }
  const map = (json as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== "object" || map === null || Array.isArray(map)) return fail('an index with "weight_map"', "none");
  const files = new Map<string, string[]>();
  for (const [name, file] of Object.entries(map as Record<string, unknown>)) {
    // A plain file name beside the index: no folder, no address.
    if (typeof file !== "string" || !SHARD.test(file))
      return fail(`a file's name for ${quote(name)}`, typeof file === "string" ? quote(file) : typeof file);
    const names = files.get(file);
    if (names) names.push(name);
    else files.set(file, [name]);
  }
  if (files.size === 0) fail("at least one tensor in the index", "none");
  return files;
}

function beside(path: string, file: string): string {
  if (/^https?:/.test(path)) {
    const url = new URL(file, path);
    url.search = new URL(path).search;
    return url.href;
  }
  return path.replace(/[^/\\]*$/, file);
}

export interface ShardedFiles {
  /** By name, to lie beside each other. */
  readonly shards: ReadonlyMap<string, Uint8Array>;
  readonly index: Uint8Array;
}

/** Safetensors files of at most `maxBytes` of tensors each (one tensor may have more), and their index. `name` begins the files' names. */
export function writeSharded(
  name: string,
  entries: Iterable<readonly [string, SafeTensor]>,
  maxBytes: number,
  metadata: Readonly<Record<string, string>>,
): ShardedFiles {
  if (!(maxBytes > 0)) fail("a positive size of shards", `${maxBytes}`);
  const groups: (readonly [string, SafeTensor])[][] = [];
  let size = Infinity,
    total = 0;
  for (const entry of entries) {
    const bytes = entry[1].data.byteLength;
    if (size + bytes > maxBytes) {
      groups.push([]);
      size = 0;
    }
    groups.at(-1)!.push(entry);
    size += bytes;
    total += bytes;
  }
  const shards = new Map<string, Uint8Array>();
  const map: Record<string, string> = {};
  const number = (i: number) => `${i}`.padStart(5, "0");
  groups.forEach((group, i) => {
    const file = `${name}-${number(i + 1)}-of-${number(groups.length)}.safetensors`;
    shards.set(file, writeSafetensors(group, metadata));
    for (const [tensor] of group) map[tensor] = file;
  });
  const index = { metadata: { total_size: total }, weight_map: map };
  return { shards, index: new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`) };
}

function inShard<T>(file: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw new Error(`${(error as Error).message} (in ${file})`);
  }
}

const list = (names: readonly string[]): string =>
  names.slice(0, 8).map(quote).join(", ") + (names.length > 8 ? ` and ${names.length - 8} more` : "");

function fail(expected: string, got: string): never {
  throw new Error(`weights: expected ${expected}, got ${got}`);
}
