/** The input pipeline in a page: the same bytes for any number of workers as in Node, no more ahead than it may, and corrupt files named. */
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openChromium, type Chromium } from "../../cli/node/chromium.ts";
import { dataSplit } from "../../cli/node/data/files.ts";
import { nodeHost } from "../../cli/node/host.ts";
import type { Host } from "../../jobs/host.ts";
import inputJob, { type InputArgs } from "./input-job.ts";

const folder = mkdtempSync(join(tmpdir(), "tessera-page-input-"));
const COUNT = 24;
let reads: string[] = [];
const node = nodeHost(() => undefined);
const host: Host = { ...node, images: { ...node.images, read: (from) => (reads.push(from.path), node.images.read(from)) } };
let chromium: Chromium;

beforeAll(async () => {
  for (const [k, name] of ["cat", "dog"].entries()) {
    mkdirSync(join(folder, "train", name), { recursive: true });
    for (let i = 0; i < COUNT / 2; i++) {
      const [height, width] = [30 + 2 * i, 55 - i];
      const data = Uint8Array.from({ length: 3 * height * width }, (_, j) => 128 + 100 * Math.sin((j * (i + 3)) / 97 + k));
      const image = sharp(data, { raw: { height, width, channels: 3 } });
      const file = join(folder, "train", name, `${i}.${["jpg", "png", "webp"][i % 3]}`);
      writeFileSync(file, k === 1 && i === 4 ? "no image" : await image.toFormat((["jpeg", "png", "webp"] as const)[i % 3]!).toBuffer());
    }
  }
  chromium = await openChromium({ host });
});
afterAll(() => chromium.close());

const inPage = (args: Omit<InputArgs, "files">) =>
  chromium.runJob("/test/app/input-job.ts", { ...args, files: dataSplit(folder, "train") }) as ReturnType<typeof inputJob>;

test.each(["augment", "draw"] as const)(
  "%s: 0, 1 and 2 workers of a page give the bytes of Node's, over epochs, with a corrupt file",
  async (kind) => {
    const expected = await inputJob(host, { files: dataSplit(folder, "train"), kind, workers: 2, batches: 9 });
    expect(expected.corrupt).toEqual([join(folder, "train/dog/4.png")]);
    for (const workers of [0, 1, 2]) expect(await inPage({ kind, workers, batches: 9 })).toEqual(expected);
  },
);

test("two batches at most are made ahead", async () => {
  for (const workers of [0, 2]) {
    reads = [];
    await inPage({ kind: "draw", workers, batches: 2 });
    expect(reads.length).toBeGreaterThanOrEqual(4 * 4); // those of two batches, and of two more
    expect(reads.length).toBeLessThanOrEqual(4 * 4 + 1); // and one in the corrupt one's place
  }
});
