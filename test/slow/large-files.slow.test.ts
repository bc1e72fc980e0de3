/** Weights behind the first 4 GiB of a file: read by their places, in safetensors and in a .pth, without the file in memory. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { crc32 } from "../../models/checkpoints/zip-format.ts";
import { readZip } from "../../models/checkpoints/zip.ts";
import { writeWeights } from "../../models/checkpoints/weights.ts";
import { createModel } from "../../models/model.ts";
import { initialState } from "../../models/params.ts";
import { start } from "./chaos/training.ts";

const folder = mkdtempSync(join(tmpdir(), "tessera-large-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

/** What stands before the weights, in bytes: more than 32 bits count. */
const BEFORE = 2 ** 32 + 2 ** 20;
/** Most that the process may hold; the file has four times as much. */
const MOST_MIB = 1024;

/** A sparse file of `parts` at their places. */
function sparse(path: string, parts: readonly (readonly [offset: number, bytes: Uint8Array])[]): void {
  const file = openSync(path, "w");
  ftruncateSync(file, Math.max(...parts.map(([offset, { length }]) => offset + length)));
  for (const [offset, bytes] of parts) writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
}

/** Converts `from`, as a user would, and gives the file's bytes. */
async function converted(from: string): Promise<Buffer> {
  const out = at("out.safetensors");
  const { how, stderr, mostMiB } = await start(["convert", "--in", from, "--out", out, "--to", "timm"]).ended;
  expect(how, stderr).toBe(0);
  console.log(`${from.split("/").at(-1)}: ${statSync(from).size} bytes, ${mostMiB} MiB resident at most`);
  expect(mostMiB).toBeLessThan(MOST_MIB);
  return readFileSync(out);
}

const model = createModel({ arch: "deit", imgSize: 32, patchSize: 16, dim: 64, depth: 2, heads: 2, numClasses: 10 });

test("safetensors", { timeout: 600_000 }, async () => {
  const small = writeWeights(initialState(model.params, 3), { config: model.config });
  writeFileSync(at("small.safetensors"), small);
  const length = Number(new DataView(small.buffer, small.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(small.subarray(8, 8 + length))) as Record<string, { data_offsets?: [number, number] }>;
  for (const entry of Object.values(header))
    if (entry.data_offsets) entry.data_offsets = entry.data_offsets.map((o) => o + BEFORE) as never;
  const large = { counter_num_batches_tracked: { dtype: "I64", shape: [BEFORE / 8], data_offsets: [0, BEFORE] } };
  const json = new TextEncoder().encode(JSON.stringify({ ...header, "x.num_batches_tracked": large.counter_num_batches_tracked }));
  const begin = new Uint8Array(8 + json.length);
  new DataView(begin.buffer).setBigUint64(0, BigInt(json.length), true);
  begin.set(json, 8);
  sparse(at("large.safetensors"), [
    [0, begin],
    [begin.length + BEFORE, small.subarray(8 + length)],
  ]);
  expect((await converted(at("large.safetensors"))).equals(await converted(at("small.safetensors")))).toBe(true);
});

test("a zip archive of PyTorch", { timeout: 600_000 }, async () => {
  const small = at("small.pth");
  writeFileSync(small, readFileSync("test/golden/checkpoint-timm.pth.tar"));
  const entries = [...readZip(new Uint8Array(readFileSync(small)))];
  const root = entries[0]![0].split("/")[0]!;
  const zeros = { length: BEFORE, subarray: (begin: number, end: number) => new Uint8Array(end - begin) };
  sparse(at("large.pth"), withStorageBefore([`${root}/data/unused`, crc32(zeros)], entries));
  expect((await converted(at("large.pth"))).equals(await converted(small))).toBe(true);
});

/** The parts of an archive whose first entry, of zeros, is `BEFORE` bytes long; in the 64-bit form throughout. */
function withStorageBefore(
  [name, crc]: readonly [string, number],
  entries: readonly (readonly [string, Uint8Array])[],
): [offset: number, bytes: Uint8Array][] {
  const parts: [number, Uint8Array][] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  const add = (name: string, crc: number, size: number, data: Uint8Array | null): void => {
    const encoded = new TextEncoder().encode(name);
    const local = new Uint8Array(30 + encoded.length);
    const view = new DataView(local.buffer);
    view.setUint32(0, 0x04034b50, true);
    view.setUint16(26, encoded.length, true);
    local.set(encoded, 30);
    const central = new Uint8Array(46 + encoded.length + 28);
    const record = new DataView(central.buffer);
    record.setUint32(0, 0x02014b50, true);
    record.setUint32(16, crc, true);
    for (const field of [20, 24, 42]) record.setUint32(field, 0xffffffff, true);
    record.setUint16(28, encoded.length, true);
    record.setUint16(30, 28, true);
    central.set(encoded, 46);
    const extra = 46 + encoded.length;
    record.setUint16(extra, 1, true);
    record.setUint16(extra + 2, 24, true);
    [size, size, offset].forEach((value, i) => record.setBigUint64(extra + 4 + 8 * i, BigInt(value), true));
    directory.push(central);
    parts.push([offset, local]);
    if (data) parts.push([offset + local.length, data]);
    offset += local.length + size;
  };
  add(name, crc, BEFORE, null);
  for (const [name, data] of entries) add(name, crc32(data), data.length, data);
  const begin = offset;
  for (const record of directory) {
    parts.push([offset, record]);
    offset += record.length;
  }
  const end = new Uint8Array(56 + 20 + 22);
  const view = new DataView(end.buffer);
  view.setUint32(0, 0x06064b50, true);
  [directory.length, directory.length, offset - begin, begin].forEach((value, i) => view.setBigUint64(24 + 8 * i, BigInt(value), true));
  view.setUint32(56, 0x07064b50, true);
  view.setBigUint64(64, BigInt(offset), true);
  view.setUint32(76, 0x06054b50, true);
  for (const field of [88, 92]) view.setUint32(field, 0xffffffff, true);
  parts.push([offset, end]);
  return parts;
}
