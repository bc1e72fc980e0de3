/**
 * What the input pipeline delivers, by the number of workers, and the share of a training step that waits for it: photographs like
 * ImageNet's at 224 pixels from a folder of JPEG files, and CIFAR's at 32 from memory; augmented on the CPU, and left to the GPU.
 * Prints the tables of RESULTS.md.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openChromium, type Chromium } from "../../cli/node/chromium.ts";
import { dataFiles } from "../../cli/node/data/files.ts";
import { nodeHost } from "../../cli/node/host.ts";
import type { Host } from "../../jobs/host.ts";
import trainJob, { type TrainArgs, type TrainSummary } from "../../jobs/train.ts";
import { Random } from "../../kernels/shared/random.ts";
import rateJob, { type RateArgs } from "./input-job.ts";

const [COUNT, HEIGHT, WIDTH] = [200, 375, 500];
const WORKERS = [0, 1, 2, 4];
const ROUNDS = 3;
const folder = mkdtempSync(join(tmpdir(), "tessera-photos-"));
const host: Host = { ...nodeHost(() => undefined), progress: () => undefined };
let chromium: Chromium;
let meanBytes = 0;

/** Soft shapes with some noise: at quality 90 about as many bytes as a photograph of ImageNet has. */
async function photograph(seed: number): Promise<Buffer> {
  const random = new Random(seed, 0);
  const waves = Array.from(
    { length: 3 },
    () => [random.uniform(0, 0.1), random.uniform(0, 0.1), random.uniform(0, 6), random.uniform(10, 40)] as const,
  );
  const noise = Float32Array.from({ length: 4099 }, () => random.uniform(-18, 18));
  const data = new Uint8ClampedArray(3 * HEIGHT * WIDTH);
  for (let i = 0; i < data.length; i++) {
    const [x, y, c] = [Math.floor(i / 3) % WIDTH, Math.floor(i / 3 / WIDTH), i % 3];
    data[i] =
      128 +
      waves.reduce((sum, [u, v, phase, size]) => sum + size * Math.sin(u * x + v * y + phase + c), 0) +
      noise[(Math.imul(i, 2654435761) >>> 0) % 4099]!;
  }
  return sharp(data, { raw: { height: HEIGHT, width: WIDTH, channels: 3 } })
    .jpeg({ quality: 90 })
    .toBuffer();
}

beforeAll(async () => {
  for (const [split, count] of [
    ["train", COUNT],
    ["val", 8],
  ] as const) {
    for (let i = 0; i < count; i++) {
      const path = join(folder, split, String(i % 4));
      mkdirSync(path, { recursive: true });
      writeFileSync(join(path, `${i}.jpg`), await photograph(i));
      if (split === "train") meanBytes += statSync(join(path, `${i}.jpg`)).size / COUNT;
    }
  }
  chromium = await openChromium({ host });
});
afterAll(async () => {
  await chromium?.close();
  rmSync(folder, { recursive: true });
});

const places = {
  Node: (args: RateArgs) => rateJob(host, args),
  Chromium: (args: RateArgs) => chromium.runJob("/test/slow/input-job.ts", args) as Promise<number>,
};
const machine = () => `${cpus()[0]!.model}, ${availableParallelism()} cores, load ${loadavg()[0]!.toFixed(1)}`;

test.each([
  ["JPEG files of 500x375 to 224", folder, 224, 16, 4],
  ["CIFAR-10 from memory at 32", "cifar10-subset", 32, 100, 6],
] as const)("%s: images per second", async (what, data, side, batchSize, batches) => {
  const files = dataFiles(data).train;
  const lines = [
    `${what}; ${machine()}; ${(meanBytes / 1000).toFixed(0)} KB a file; ${ROUNDS} runs of ${batches} batches of ${batchSize} in turns: median (least to most)`,
    `| where | augmented | ${WORKERS.map((w) => `${w} worker${w === 1 ? "" : "s"}`).join(" | ")} |`,
    `|---|---|${WORKERS.map(() => "---|").join("")}`,
  ];
  for (const [where, rate] of Object.entries(places)) {
    for (const augment of ["gpu", "cpu"] as const) {
      const rates = WORKERS.map(() => [] as number[]);
      for (let round = 0; round < ROUNDS; round++)
        for (const [k, workers] of WORKERS.entries()) rates[k]!.push(await rate({ files, side, augment, workers, batches, batchSize }));
      lines.push(
        `| ${where} | on the ${augment.toUpperCase()} | ${rates
          .map((r) => {
            const s = r.toSorted((a, b) => a - b);
            return `${s[s.length >> 1]!.toFixed(0)} (${s[0]!.toFixed(0)} to ${s.at(-1)!.toFixed(0)})`;
          })
          .join(" | ")} |`,
      );
      expect(rates.flat().every((r) => r > 1)).toBe(true);
    }
  }
  console.log(lines.join("\n"));
});

const SMALL = { arch: "deit", imgSize: 32, patchSize: 4, dim: 64, depth: 4, heads: 2, numClasses: 10 };
const trainers = {
  Node: (args: TrainArgs) => trainJob(host, args),
  Chromium: (args: TrainArgs) => chromium.runJob("/jobs/train.ts", args) as Promise<TrainSummary>,
};

test.each([
  ["DeiT-Ti at 224 on the JPEG files", "deit_tiny_patch16_224", folder, 2, { Node: 8, Chromium: 4 }],
  ["a DeiT of width 64 on CIFAR-10", SMALL, "cifar10-subset", 100, { Node: 12, Chromium: 8 }],
] as const)("%s: the share of a step that waits for images", async (what, model, data, batchSize, steps) => {
  const lines = [
    `${what}, batches of ${batchSize}, ${steps.Node} and ${steps.Chromium} steps, the paper's recipe without repeats; ${machine()}`,
    "| where | augmented | workers | a step | waits for images |",
    "|---|---|---|---|---|",
  ];
  for (const [where, train] of Object.entries(trainers)) {
    for (const augment of ["gpu", "cpu"] as const) {
      for (const workers of [0, 2]) {
        const summary = await train({
          model,
          recipe: { batchSize, epochs: 300, repeats: 1 },
          seed: 1,
          ...dataFiles(data),
          out: join(folder, "run"),
          augment,
          workers,
          maxSteps: steps[where as keyof typeof trainers],
          evalEvery: 1000,
        });
        // The queue takes two steps before the loop waits for one: what lies between these is no step.
        const shares = summary.steps
          .slice(2)
          .map((s) => s.inputWait)
          .sort((a, b) => a - b);
        lines.push(
          `| ${where} | on the ${augment.toUpperCase()} | ${workers} | ${((1000 * batchSize) / summary.imagesPerSecond).toFixed(0)} ms | ${(100 * shares[shares.length >> 1]!).toFixed(2)} % (${(100 * shares[0]!).toFixed(2)} to ${(100 * shares.at(-1)!).toFixed(2)}) |`,
        );
        expect(shares.every((s) => s >= 0 && s <= 1)).toBe(true);
      }
    }
  }
  console.log(lines.join("\n"));
});
