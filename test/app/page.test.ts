/** Image decoding in Node and in a page, against what Pillow reads (test/golden/images.json); `classify` in both; downloads kept in a page's Cache. */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeSafetensors } from "../../models/checkpoints/safetensors.ts";
import { splitOrientation } from "../../models/images/exif.ts";
import { openChromium } from "../../cli/node/chromium.ts";
import { decodeImage } from "../../cli/node/decode-image.ts";
import { nodeHost } from "../../cli/node/host.ts";
import classifyJob, { type ClassifyArgs, type ClassifyResult } from "../../jobs/classify.ts";
import { createModel } from "../../models/model.ts";
import { initialState } from "../../models/params.ts";
import { writeWeights } from "../../models/checkpoints/weights.ts";
import { uniform } from "../../checks/check.ts";
import type { Downloaded } from "./page-checks.ts";

const chromium = await openChromium();
afterAll(() => chromium.close());
const inPage = (name: keyof typeof import("./page-checks.ts"), ...args: unknown[]) =>
  chromium.runModule("/test/app/page-checks.ts", name, args);

type Recorded = readonly [height: number, width: number, rgb: string];
type Decode = (name: string, upright: boolean) => Promise<Recorded | { readonly error: string }>;
const golden = JSON.parse(readFileSync(new URL("../golden/images.json", import.meta.url), "utf8")) as {
  readonly broken: readonly string[];
  readonly stored: Readonly<Record<string, Recorded>>;
  readonly upright: Readonly<Record<string, Recorded>>;
};

const inNode: Decode = async (name, upright) => {
  try {
    const { height, width, data } = await decodeImage(readFileSync(new URL(`../golden/images/${name}`, import.meta.url)), { upright });
    return [height, width, Buffer.from(data).toString("base64")];
  } catch (error) {
    return { error: (error as Error).message };
  }
};

/** The largest difference of a byte; another size is an error. */
function apart(got: Awaited<ReturnType<Decode>>, [height, width, rgb]: Recorded): number {
  if ("error" in got) throw new Error(got.error);
  expect([got[0], got[1]]).toEqual([height, width]);
  const [a, b] = [got[2], rgb].map((text) => Buffer.from(text, "base64"));
  expect(a!.length).toBe(b!.length);
  return a!.reduce((most, v, i) => Math.max(most, Math.abs(v - b![i]!)), 0);
}

/** The same in both places. */
const REASONS: Readonly<Record<string, RegExp>> = {
  "truncated.png": /^expected a whole PNG image, got one that is damaged/,
  "truncated.jpg": /^expected a whole JPEG image, got one that is damaged/,
  "truncated.bmp": /^expected a whole BMP image, got one that ends before its last pixel$/,
  "truncated.ppm": /^expected a whole PNM image, got one that ends before its last pixel$/,
  "text.jpg": /^expected a JPEG, PNG, .* image, got bytes 6e 6f 20 69 …$/,
  "drawing.png": /^expected a JPEG, PNG, .* image, got bytes 3c 73 76 67 …$/,
  "empty.png": /^expected a JPEG, PNG, .* image, got an empty file$/,
  "bomb.png": /^expected at most 67108864 pixels in a file of \d+ bytes, got 16383x16383$/,
};

describe.each([
  // libheif rounds its own way.
  ["Node", inNode, { "lossy.avif": 1 }],
  // Chromium hands out CMYK as RGB, rounded its own way.
  ["a page", (name, upright) => inPage("decoded", `/test/golden/images/${name}`, upright), { "cmyk.jpg": 1 }],
] as [string, Decode, Record<string, number>][])("images decoded in %s", (_, decode, levels) => {
  test.each(Object.keys(golden.stored))("%s: every byte as Pillow has it, as stored and upright", async (name) => {
    if (name.endsWith(".tif") && decode !== inNode)
      return expect(await decode(name, true)).toEqual({
        error: "expected a whole image that a page can decode, got TIFF, which browsers do not decode",
      });
    expect(apart(await decode(name, false), golden.stored[name]!)).toBe(levels[name] ?? 0);
    expect(apart(await decode(name, true), golden.upright[name] ?? golden.stored[name]!)).toBe(levels[name] ?? 0);
  });
  test.each(golden.broken)("%s is refused", async (name) => {
    expect(await decode(name, true)).toEqual({ error: expect.stringMatching(REASONS[name]!) });
  });
});

test("EXIF data that is cut or damaged turns nothing or something, and never fails", () => {
  for (const name of ["exif-6.jpg", "exif-6.webp", "exif-8.png"]) {
    const file = Uint8Array.from(readFileSync(new URL(`../golden/images/${name}`, import.meta.url)));
    const before = file.slice();
    const { orientation, file: blanked } = splitOrientation(file);
    expect(orientation).toBe(Number(/\d/.exec(name)![0]));
    expect(splitOrientation(blanked)).toEqual({ orientation: 1, file: blanked });
    expect(file).toEqual(before); // a copy was blanked
    for (let n = 0; n < file.length; n++) expect([1, orientation]).toContain(splitOrientation(file.slice(0, n)).orientation);
    const random = uniform(2 * 2000, 3);
    for (let i = 0; i < 2000; i++) {
      const damaged = file.slice();
      damaged[Math.floor(((random[2 * i]! + 1) / 2) * Math.min(file.length, 200))] = Math.floor((random[2 * i + 1]! + 1) * 128);
      expect(splitOrientation(damaged).orientation).toBeGreaterThanOrEqual(1);
    }
  }
});

test("what was recorded is of every kind", () => {
  expect(Object.keys(golden.upright).sort()).toEqual([
    "exif-2.jpg",
    "exif-3.jpg",
    "exif-4.jpg",
    "exif-5.jpg",
    "exif-6.jpg",
    "exif-6.webp",
    "exif-7.jpg",
    "exif-8.jpg",
    "exif-8.png",
    "exif-fill-5.jpg",
    "exif-fill.jpg",
    "exif-long-mm.jpg",
    "exif-long.jpg",
    "exif-short-mm.jpg",
    "exif-twice.jpg",
  ]);
});

test("classify in a page answers as in Node, maps included", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tessera-page-"));
  const config = {
    arch: "deit",
    imgSize: 48,
    patchSize: 16,
    inChans: 3,
    dim: 16,
    depth: 1,
    heads: 2,
    mlpRatio: 2,
    numClasses: 10,
    distilled: true,
  } as const;
  const { params } = createModel(config);
  writeFileSync(join(folder, "w.safetensors"), writeWeights(initialState(params, 5), { config }));
  const images = ["exif-6.webp", "alpha.png", "progressive.jpg"].map((name) => ({ path: resolve("test/golden/images", name), stem: name }));
  const args = (maps: string): ClassifyArgs => ({
    weights: join(folder, "w.safetensors"),
    images,
    k: 10,
    protocol: "official",
    head: "mean",
    batchSize: 2,
    maps: join(folder, maps),
  });
  const page = (await chromium.runJob("/jobs/classify.ts", args("page"))) as ClassifyResult;
  const node = await classifyJob(nodeHost(), args("node"));
  page.results.forEach(({ name, top, maps }, i) => {
    const expected = node.results[i]!;
    expect(name).toBe(expected.name);
    for (const { index, probability } of top) expect(probability).toBeCloseTo(expected.top.find((t) => t.index === index)!.probability, 5);
    expect(maps!.length).toBe(6);
    for (const [k, path] of maps!.entries()) expect(existsSync(path) && existsSync(expected.maps![k]!)).toBe(true);
  });
  const [a, b] = await Promise.all(
    ["page", "node"].map((where) => decodeImage(readFileSync(join(folder, where, "exif-6.webp.dist-rollout.png")), { upright: false })),
  );
  expect(a!.data.reduce((most, v, i) => Math.max(most, Math.abs(v - b!.data[i]!)), 0)).toBeLessThanOrEqual(1);
  rmSync(folder, { recursive: true });
});

describe("downloads in a page", () => {
  const values = Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 7919) >> 3);
  const content = writeSafetensors([["a", { dtype: "U8", shape: [values.length], data: values }]]);
  const sum = createHash("sha256").update(content).digest("hex");
  let asked = 0;
  const server = createServer((_, response) => {
    asked++;
    // The page is isolated: what comes from elsewhere must allow it.
    response
      .writeHead(200, {
        "content-length": content.length,
        "access-control-allow-origin": "*",
        "cross-origin-resource-policy": "cross-origin",
        "cache-control": "no-store",
      })
      .end(content);
  });
  let url = "";
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/w.safetensors`;
  });
  afterAll(() => void server.close());
  const download = (fragment = "") => inPage("download", url + fragment, "test-weights") as Promise<Downloaded>;

  test("progress to the end, kept, and read from the Cache the second time", async () => {
    const { progress, ...first } = await download();
    expect(first).toEqual({ length: content.length, sha256: sum, cached: false });
    expect(progress.length).toBeGreaterThan(1);
    expect(progress.at(-1)).toEqual([content.length, content.length]);
    expect(progress.map(([done]) => done)).toEqual(progress.map(([done]) => done).toSorted((a, b) => a - b));
    expect(await download(`#sha256=${sum}`)).toEqual({ length: content.length, sha256: sum, cached: true, progress: [] });
    expect(asked).toBe(1);
  });

  test("survives a reload of the page; what is kept but spoiled is fetched again", async () => {
    await chromium.page.reload();
    await chromium.page.waitForFunction(() => "tessera" in globalThis);
    expect((await download()).cached).toBe(true);
    await inPage("spoil", url, "test-weights", "no weights");
    expect(await download()).toMatchObject({ sha256: sum, cached: false });
    expect(await download()).toMatchObject({ sha256: sum, cached: true });
    expect(asked).toBe(2);
  });

  test("another checksum than asked for is refused", async () => {
    await expect(download(`#sha256=${"0".repeat(64)}`)).rejects.toThrow(`expected sha256 ${"0".repeat(64)} of ${url}, got ${sum}`);
  });
});
