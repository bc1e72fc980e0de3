/** 100,000 damaged inputs for each reader of data and of image headers: none fails but by a refusal, none hangs or takes memory beyond its input's. */
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { fuzz, READERS } from "../train/fuzz-readers.ts";

const INPUTS = 100_000;
const bytes = (path: string) => Uint8Array.from(readFileSync(path));
const images = (pattern: RegExp) =>
  readdirSync("test/golden/images")
    .filter((name) => pattern.test(name))
    .map((name) => bytes(`test/golden/images/${name}`));
const idx = Uint8Array.from([0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6, ...new Uint8Array(120)]);

/** Whole files of each kind, and the most bytes of a result for each byte of its input. */
const KINDS: Readonly<Record<string, readonly [files: () => Uint8Array[], mostPerByte: number]>> = {
  tar: [() => ["tar-cls-and-json/val-000.tar", "tar-without-end/val-000.tar"].map((name) => bytes(`test/golden/faults/${name}`)), 200],
  // One grey pixel becomes 25 of three channels with its padding; deflate packs 1032 to one.
  IDX: [() => [idx, Uint8Array.from(gzipSync(idx))], 75 * 1032],
  CIFAR: [() => [new Uint8Array(3073 * 3), new Uint8Array(3074 * 3)], 1],
  "headers of JPEG": [() => images(/\.jpg$/), 0],
  "headers of PNG": [() => images(/\.png$/), 0],
  "headers of other kinds": [() => images(/\.(webp|gif|bmp|tif|avif|p.m)$/), 0],
  // A bit is three bytes.
  "BMP and PNM": [() => images(/\.(bmp|p[pgb]m)$/), 24],
};

test.each(Object.entries(KINDS))("%s", async (name, [files, mostPerByte]) => {
  const result = await fuzz(files(), READERS[name] ?? READERS["image headers"]!, INPUTS, 1);
  console.log(name, JSON.stringify(result));
  expect(result.mostPerByte).toBeLessThanOrEqual(mostPerByte);
  expect(result.slowestMs).toBeLessThan(5000);
  expect(result.refused).toBeGreaterThan(name.startsWith("headers") ? 0 : INPUTS / 100);
});
