/** Devices that are lost, out of memory, or whose process ends. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { openNodeDevice } from "../../../cli/node/adapter.ts";
import { openChromium, type Chromium } from "../../../cli/node/chromium.ts";
import { dataSplit } from "../../../cli/node/data/files.ts";
import { nodeHost } from "../../../cli/node/host.ts";
import type { Host } from "../../../jobs/host.ts";
import trainJob, { type TrainArgs } from "../../../jobs/train.ts";
import type { Random } from "../../../kernels/shared/random.ts";
import { makeRecipe } from "../../../train/recipe.ts";
import failingJob from "../../cli/failing-job.ts";
import type { Fault } from "./fault.ts";
import { folder } from "./training.ts";

const STEPS = 12;
const SAVE_EVERY = 3;
const few = join(folder, "few.bin");
writeFileSync(few, readFileSync("app/data/cifar10/test.bin").subarray(0, 40 * 3073));

const args = (out: string, more: Partial<TrainArgs> = {}): TrainArgs => ({
  model: { arch: "deit", imgSize: 32, patchSize: 16, dim: 16, depth: 1, heads: 1, numClasses: 10 },
  recipe: makeRecipe({ epochs: 1, batchSize: 20, warmupEpochs: 0, repeats: 1, autoAugment: null, erasing: 0, emaDecay: null }),
  ...{ seed: 5, train: dataSplit("cifar10-subset", "train"), test: { kind: "cifar10", paths: [few] }, out: join(folder, out) },
  ...{ maxSteps: STEPS, saveEvery: SAVE_EVERY, evalEvery: 100, ...more },
});
const weights = (out: string) => readFileSync(join(folder, out, "model.safetensors"));

let crashAt = Infinity;
let chromium: Chromium | null = null;
const host: Host = {
  ...nodeHost(() => undefined),
  progress({ label, done }) {
    if (label !== "train" || done !== crashAt) return;
    crashAt = Infinity;
    const crash = async () => (await chromium!.browser.target().createCDPSession()).send("Browser.crashGpuProcess");
    void crash();
  },
};
const openNode = () => openNodeDevice(process.env["TESSERA_ICD"]);

let unbroken: Promise<Buffer> | null = null;
/** The weights of a run on a device that nothing befalls. */
const wholeInNode = (): Promise<Buffer> => (unbroken ??= trainJob(host, args("device-whole")).then(() => weights("device-whole")));

/** A step after the first checkpoint. */
const someStep = (random: Random): number => SAVE_EVERY + 1 + random.int(STEPS - SAVE_EVERY - 2);

let runs = 0;

const lost: Fault = {
  name: "lost device, in Node, without and with workers",
  tries: 4,
  survives: "told as that, with the standing checkpoint; goes on to the same bits",
  async attempt(random, number) {
    await openNode();
    const expected = await wholeInNode();
    const [out, workers] = [`lost-${runs++}`, number % 2 ? 2 : 0];
    const run = failingJob(host, { ...args(out), workers, failure: "destroyed", afterStep: someStep(random) });
    await expect(run).rejects.toMatchObject({
      name: "DeviceLostError",
      message: expect.stringMatching(
        /^train: device lost \(destroyed\): .*; the checkpoint of step \d+ stands in \S+; go on with --resume$/,
      ),
    });
    await openNode();
    await trainJob(host, args(out, { resume: true, workers }));
    expect(weights(out).equals(expected)).toBe(true);
    return undefined;
  },
};

const memory: Fault = {
  name: "GPU memory that is out, in Node, without and with workers",
  tries: 2,
  survives: "told as that and saved; goes on to the same bits",
  async attempt(random, number) {
    await openNode();
    const expected = await wholeInNode();
    const [out, workers] = [`memory-${runs++}`, number % 2 ? 2 : 0];
    const run = failingJob(host, { ...args(out), workers, failure: "memory", afterStep: someStep(random) });
    await expect(run).rejects.toMatchObject({
      name: "OutOfMemoryError",
      message: expect.stringMatching(
        /^train: out of GPU memory: .*; the checkpoint of step \d+ stands in \S+; go on with --resume; smaller/,
      ),
    });
    await trainJob(host, args(out, { resume: true, workers }));
    expect(weights(out).equals(expected)).toBe(true);
    return undefined;
  },
};

/** Runs a training in a fresh browser, whose GPU process ends after `step`. */
async function inPage(a: TrainArgs, step = Infinity): Promise<void> {
  chromium = await openChromium({ host });
  crashAt = step;
  try {
    await chromium.runJob("/jobs/train.ts", a);
  } finally {
    crashAt = Infinity;
    await chromium.close();
  }
}

let unbrokenInPage: Promise<Buffer> | null = null;

const ended: Fault = {
  name: "GPU process ended, in Chromium",
  tries: 2,
  survives: "told as a lost device, with the standing checkpoint; goes on to the same bits",
  async attempt(random) {
    const expected = await (unbrokenInPage ??= inPage(args("page-whole")).then(() => weights("page-whole")));
    const out = `page-${runs++}`;
    await expect(inPage(args(out), someStep(random))).rejects.toMatchObject({
      name: "DeviceLostError",
      message: expect.stringMatching(/^train: device lost .*; the checkpoint of step \d+ stands in \S+; go on with --resume$/),
    });
    await inPage(args(out, { resume: true }));
    expect(weights(out).equals(expected)).toBe(true);
    return undefined;
  },
};

export const devices: readonly Fault[] = [lost, memory, ended];
