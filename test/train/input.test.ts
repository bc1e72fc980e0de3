/** The input pipeline: the same batches whatever makes them, bounded, and clear about what is broken. Node. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { nodeImages } from "../../cli/node/images.ts";
import { toPlanes } from "../../models/images/preprocess.ts";
import { applyOps } from "../../train/augment/ops.ts";
import { makeAugment } from "../../train/augment/sample.ts";
import { epochOrder, type ImageSet } from "../../train/data/dataset.ts";
import { openSource } from "../../train/data/open.ts";
import type { Batch, InputOptions } from "../../train/input/options.ts";
import { InputPipeline } from "../../train/input/pipeline.ts";
import { interleaved, memorySource, type ImagePlatform, type ImageSource } from "../../train/input/source.ts";

const COUNT = 24;
const BATCH = 4;
const settings = makeAugment({ size: 16 });
const platform = nodeImages();
const order = (epoch: number) => ({ images: epochOrder(COUNT, 7, epoch) });

let folder: string;
let source: ImageSource;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "input-"));
  const names = Array.from({ length: COUNT / 2 }, (_, i) => `${i}.${["jpg", "png", "webp"][i % 3]}`);
  for (const [k, name] of ["cat", "dog"].entries()) {
    await mkdir(join(folder, name));
    for (const [i, file] of names.entries()) {
      const [height, width] = [20 + i, 30 - i];
      const data = Uint8Array.from({ length: 3 * height * width }, (_, j) => (j * (i + 3) + 97 * k) % 256);
      await sharp(data, { raw: { height, width, channels: 3 } }).toFile(join(folder, name, file));
    }
  }
  source = await openSource(
    { kind: "folder", root: folder, classes: ["cat", "dog"].map((name) => ({ name, files: names })) },
    platform.read,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const defaults = { batchSize: BATCH, order, platform, prepare: { kind: "augment", settings, seed: 1 } } as const;

/** So many batches of a pipeline, which is closed after. */
async function batches(n: number, options: Partial<InputOptions> = {}, from = source): Promise<Batch[]> {
  const pipeline = new InputPipeline(from, { ...defaults, ...options });
  try {
    const all = [];
    for (let k = 0; k < n; k++) all.push(await pipeline.next());
    return all;
  } finally {
    await pipeline.close();
  }
}

/** The source with these images' files replaced. */
const broken = (...indices: number[]): ImageSource => ({
  ...source,
  at: (i) => (indices.includes(i) ? { path: join(folder, "none", `${i}.jpg`) } : source.at(i)),
});

describe("batches", () => {
  test("are the same bytes with 0, 1, 2 and 5 workers, over epochs", async () => {
    const expected = await batches(9); // an epoch and a half
    expect(expected.map((b) => [b.epoch, b.step])).toEqual([
      [0, 0],
      [0, 1],
      [0, 2],
      [0, 3],
      [0, 4],
      [0, 5],
      [1, 0],
      [1, 1],
      [1, 2],
    ]);
    expect(expected.flatMap((b) => [...b.images]).slice(0, COUNT)).toEqual([...order(0).images]);
    expect(expected[0]!.bytes).toHaveLength(BATCH * 3 * 16 * 16);
    for (const [workers, ahead] of [
      [1, 1],
      [2, 4],
      [5, 2],
    ] as const)
      expect(await batches(9, { workers, ahead })).toEqual(expected);
  });
  test("go on where a run was stopped as if it had not been", async () => {
    const all = await batches(9);
    expect(await batches(5, { start: { epoch: 0, step: 4 }, workers: 1 })).toEqual(all.slice(4));
    expect(await batches(3, { start: { epoch: 0, step: 6 } })).toEqual(all.slice(6)); // an epoch that is done
  });
  test("of decoded images keep their sizes, and hold what the decoder gives", async () => {
    const [batch] = await batches(1, { prepare: { kind: "decode" }, workers: 1 });
    for (const [k, i] of [...batch!.images].entries()) {
      const at = source.at(i) as { path: string };
      const { height, width, data } = await platform.decode(await platform.read(at), { upright: false });
      expect([batch!.heights[k], batch!.widths[k], batch!.labels[k]]).toEqual([height, width, at.path.includes("dog") ? 1 : 0]);
      const n = height * width;
      const got = batch!.bytes.subarray(batch!.offsets[k], batch!.offsets[k]! + 3 * n);
      expect([0, 1, 2].every((c) => data.every((v, j) => j % 3 !== c || got[c * n + (j - c) / 3] === v))).toBe(true);
    }
  });
  test("copies of an image differ, and depend on the copy alone", async () => {
    const copies = (...c: number[]) => ({ order: () => ({ images: [3, 3, 3, 5], copies: c }) });
    const [a] = await batches(1, copies(0, 1, 2, 0));
    const [b] = await batches(1, copies(2, 0, 1, 0));
    const part = (batch: Batch, k: number) => batch.bytes.slice(k * 768, (k + 1) * 768);
    expect(part(a!, 0)).not.toEqual(part(a!, 1));
    expect([part(b!, 1), part(b!, 2), part(b!, 0)]).toEqual([part(a!, 0), part(a!, 1), part(a!, 2)]);
  });
  test("the short last one is kept on demand, and nothing is made past the last epoch", async () => {
    const pipeline = new InputPipeline(source, {
      ...defaults,
      prepare: { kind: "evaluate", placing: { size: 16, resize: 18, square: false, filter: "bicubic" } },
      batchSize: 10,
      keepLast: true,
      epochs: 1,
    });
    expect(pipeline.stepsPerEpoch).toBe(3);
    expect([(await pipeline.next()).labels.length, (await pipeline.next()).labels.length, (await pipeline.next()).labels.length]).toEqual([
      10, 10, 4,
    ]);
    await expect(pipeline.next()).rejects.toThrow("input: expected at most 1 epochs of 3 batches to be asked for, got one more");
    await pipeline.close();
  });
});

describe("corrupt images", () => {
  test("are named once, and the next good one stands in, whatever the number of workers", async () => {
    const o = order(0).images;
    const bad = [o[5]!, o[6]!, o[23]!];
    const runs = [];
    for (const workers of [0, 2]) {
      const named: string[] = [];
      const pipeline = new InputPipeline(broken(...bad), {
        ...defaults,
        workers,
        maxCorrupt: 0.2,
        onCorrupt: ({ index, name, reason }) => named.push(`${index} ${name === source.name(index)} ${/ENOENT/.test(reason)}`),
      });
      const got: Batch[] = [];
      for (let k = 0; k < 7; k++) got.push(await pipeline.next());
      expect(pipeline.stats.corrupt).toBe(3);
      await pipeline.close();
      expect(named).toEqual([...[bad[0]!, bad[1]!].sort((a, b) => a - b), bad[2]!].map((i) => `${i} true true`));
      runs.push(got);
    }
    expect(runs[1]).toEqual(runs[0]);
    const images = runs[0]!.slice(0, 6).flatMap((b) => [...b.images]);
    expect(images).toEqual([...o].map((i, p) => ({ 5: o[7], 6: o[7], 23: o[0] })[p] ?? i));
    expect(runs[0]!.flatMap((b) => [...b.labels])).toEqual(runs[0]!.flatMap((b) => [...b.images]).map((i) => source.label(i)));
  });
  test("past their share are an error of the batch that has them", async () => {
    const o = order(0).images;
    const pipeline = new InputPipeline(broken(o[9]!), { ...defaults, workers: 1 });
    await pipeline.next();
    await pipeline.next();
    await expect(pipeline.next()).rejects.toThrow(
      /^input: expected at most 0 of 24 images corrupt, got 1, the last .*\/\d+\.\w+: .*ENOENT/,
    );
    await pipeline.close();
  });
  test("truncated files of each kind are corrupt, and where all are there is an end", async () => {
    for (const i of [0, 1, 2]) {
      const bytes = await platform.read(source.at(i) as { path: string });
      await writeFile(join(folder, `${i}.cut`), bytes.subarray(0, Math.floor(bytes.length / 2)));
    }
    const cut: ImageSource = { ...source, count: 3, at: (i) => ({ path: join(folder, `${i}.cut`) }) };
    await expect(batches(1, { order: () => ({ images: [0, 1, 2] }), batchSize: 3, maxCorrupt: 1 }, cut)).rejects.toThrow(
      /^input: expected an image that can be decoded among 3, got none; .*0\.jpg: /,
    );
  });
});

describe("the queue", () => {
  /** Counts what is asked of it. */
  function counting(): { platform: ImagePlatform; reads: () => number } {
    let reads = 0;
    return { platform: { ...platform, read: (from) => (reads++, platform.read(from)) }, reads: () => reads };
  }
  /** Time in which a queue without a limit would have read on. */
  const grace = () => new Promise((resolve) => setTimeout(resolve, 300));

  test("holds no more than it may, and ends where it is closed", async () => {
    const { platform: counted, reads } = counting();
    const pipeline = new InputPipeline(source, { ...defaults, platform: counted, ahead: 2 });
    await vi.waitUntil(() => reads() >= 2 * BATCH, { timeout: 60_000 });
    await grace();
    expect(reads()).toBe(2 * BATCH);
    await pipeline.next();
    await vi.waitUntil(() => reads() >= 3 * BATCH, { timeout: 60_000 });
    await grace();
    expect(reads()).toBe(3 * BATCH);
    await pipeline.close();
    await expect(pipeline.next()).rejects.toThrow("input: the pipeline was closed");
    await grace();
    expect(reads()).toBe(3 * BATCH);
  });
  test("a caller that waits hears when it is closed, with and without workers", async () => {
    for (const workers of [0, 1]) {
      const never: ImagePlatform = {
        ...platform,
        read: () => new Promise(() => undefined),
        startWorker: () => ({ post: () => undefined, listen: () => undefined, close: async () => undefined }),
      };
      const pipeline = new InputPipeline(source, { ...defaults, batchSize: 12, platform: never, workers });
      const waiting = expect(pipeline.next()).rejects.toThrow("input: the pipeline was closed");
      await pipeline.close();
      await waiting;
    }
  });
  test("a worker that dies is an error, not a wait", async () => {
    const worker: ImagePlatform = {
      ...platform,
      startWorker() {
        const real = platform.startWorker();
        return { ...real, post: (_message, transfer) => real.post({ id: 0, task: null }, transfer) };
      },
    };
    await expect(batches(1, { workers: 1, platform: worker })).rejects.toThrow(/^input worker: |Cannot destructure|null/);
  });
});

describe("a set in memory", () => {
  const set: ImageSet = {
    images: Uint8Array.from({ length: COUNT * 3072 }, (_, i) => (i * 31) % 251),
    labels: Uint8Array.from({ length: COUNT }, (_, i) => i % 10),
    count: COUNT,
    classes: [..."abcdefghij"],
    shape: [3, 32, 32],
  };

  test("is handed on without workers where nothing is to be done", async () => {
    const none = {
      ...platform,
      startWorker: () => {
        throw new Error("not needed");
      },
    };
    const [batch] = await batches(1, { prepare: { kind: "decode" }, workers: 3, platform: none }, memorySource(set, "set"));
    const first = order(0).images[0]!;
    expect(batch!.bytes.subarray(0, 3072)).toEqual(set.images.subarray(first * 3072, (first + 1) * 3072));
    expect(batch!.labels[0]).toBe(first % 10);
  });
  test("augments in workers to the same bytes, and stays as it is", async () => {
    const before = set.images.slice();
    const small = { prepare: { kind: "augment", settings: makeAugment({ size: 32, crop: { kind: "padded" } }), seed: 2 } } as const;
    expect(await batches(6, { ...small, workers: 2 }, memorySource(set, "set"))).toEqual(await batches(6, small, memorySource(set, "set")));
    expect(set.images).toEqual(before);
  });
});

describe("draws left to the GPU", () => {
  const augment = { kind: "augment", settings, seed: 1 } as const;
  const draw = { ...augment, kind: "draw" } as const;
  /** What is left to do, done on the CPU, as bytes (3, 16, 16) of each image. */
  const finished = (b: Batch): Uint8Array[] =>
    b.records.map(({ ops }, k) => {
      const [height, width] = [b.heights[k]!, b.widths[k]!];
      return toPlanes(
        applyOps(interleaved({ height, width, data: b.bytes.subarray(b.offsets[k]!, b.offsets[k]! + 3 * height * width) }), ops),
      );
    });
  const whole = (b: Batch): Uint8Array[] => b.records.map((_, k) => b.bytes.subarray(768 * k, 768 * (k + 1)));

  test("give the bytes and boxes of the CPU, whether an image is resized here or there", async () => {
    const expected = await batches(6, { prepare: augment });
    for (const [area, side, workers] of [
      [1e6, 1000, 0],
      [250, 1000, 1],
      [1e6, 18, 0],
      [256, 16, 2],
    ] as const) {
      const drawn = await batches(6, { prepare: { ...draw, area, side }, workers });
      drawn.forEach((b, k) => {
        expect(finished(b)).toEqual(whole(expected[k]!));
        expect(b.records.map(({ erase }) => erase)).toEqual(expected[k]!.records.map(({ erase }) => erase));
        // Never more than was asked for, but the output's own size.
        b.heights.forEach((h, n) =>
          expect((h === 16 && b.widths[n] === 16) || (h * b.widths[n]! <= area && Math.max(h, b.widths[n]!) <= side)).toBe(true),
        );
      });
    }
  });
  test("are the same with workers and after a stop, and images in memory go as they are", async () => {
    const prepare = { ...draw, area: 300, side: 20 };
    const all = await batches(9, { prepare });
    expect(await batches(9, { prepare, workers: 3 })).toEqual(all);
    expect(await batches(5, { prepare, start: { epoch: 0, step: 4 }, workers: 1 })).toEqual(all.slice(4));
    const data = Uint8Array.from({ length: COUNT * 768 }, (_, i) => (i * 31) % 256);
    const set: ImageSet = { images: data, labels: new Uint8Array(COUNT), count: COUNT, classes: ["one"], shape: [3, 16, 16] };
    const none = {
      ...platform,
      startWorker: () => {
        throw new Error("not needed");
      },
    };
    const [raw] = await batches(1, { prepare, workers: 2, platform: none }, memorySource(set, "set"));
    const [made] = await batches(1, { prepare: augment }, memorySource(set, "set"));
    expect(raw!.bytes).toEqual(new Uint8Array([...raw!.images].flatMap((i) => [...data.subarray(768 * i, 768 * (i + 1))])));
    expect(finished(raw!)).toEqual(whole(made!));
  });
});

test("options out of range are refused", () => {
  const make = (o: Partial<InputOptions>) => () => new InputPipeline(source, { ...defaults, ...o });
  expect(make({ batchSize: 0 })).toThrow("input: expected batchSize to be an integer of at least 1, got 0");
  expect(make({ workers: -1 })).toThrow("input: expected workers to be an integer of at least 0, got -1");
  expect(make({ ahead: 0 })).toThrow("input: expected ahead to be an integer of at least 1, got 0");
  expect(make({ maxCorrupt: 2 })).toThrow("input: expected maxCorrupt to be a share from 0 to 1, got 2");
  expect(make({ batchSize: 25 })).toThrow("input: expected at least a batch of 25 images, got 24");
  expect(make({ start: { epoch: 0, step: 7 } })).toThrow("input: expected to start at a step from 0 to 6, got 7");
});
