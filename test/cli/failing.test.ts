/** A device that is lost, or out of memory, while a model trains: the cause and the checkpoint are named, and the run goes on to the same bits. In Node and in a page. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { openChromium, type Chromium } from "../../cli/node/chromium.ts";
import { dataSplit } from "../../cli/node/data/files.ts";
import { nodeHost } from "../../cli/node/host.ts";
import type { Host } from "../../jobs/host.ts";
import trainJob, { type TrainArgs } from "../../jobs/train.ts";
import { openNodeDevice } from "../../cli/node/adapter.ts";
import { makeRecipe } from "../../train/recipe.ts";
import failingJob, { type FailingArgs } from "./failing-job.ts";

const folder = mkdtempSync(join(tmpdir(), "tessera-failing-"));
const few = join(folder, "test.bin");
writeFileSync(few, readFileSync("app/data/cifar10/test.bin").subarray(0, 40 * 3073));

const args = (out: string, more: Partial<TrainArgs> = {}): TrainArgs => ({
  model: { arch: "deit", imgSize: 32, patchSize: 16, dim: 16, depth: 1, heads: 1, numClasses: 10 },
  recipe: makeRecipe({
    epochs: 1,
    batchSize: 20,
    warmupEpochs: 0,
    repeats: 1,
    autoAugment: null,
    erasing: 0,
    mixup: 0,
    cutmix: 0,
    dropPath: 0,
    emaDecay: null,
  }),
  seed: 5,
  train: dataSplit("cifar10-subset", "train"),
  test: { kind: "cifar10", paths: [few] },
  out: join(folder, out),
  maxSteps: 12,
  saveEvery: 4,
  evalEvery: 100,
  ...more,
});
const weights = (out: string) => readFileSync(join(folder, out, "model.safetensors"));
const steps = (out: string) =>
  readFileSync(join(folder, out, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { kind: string; step: number })
    .filter((m) => m.kind === "step")
    .map((m) => m.step);

let chromium: Chromium | undefined;
let crashAt = Infinity;
const host: Host = {
  ...nodeHost(() => undefined),
  progress({ label, done }) {
    if (label !== "train" || done !== crashAt) return;
    crashAt = Infinity;
    void chromium!.browser
      .target()
      .createCDPSession()
      .then((session) => session.send("Browser.crashGpuProcess"));
  },
};
afterAll(() => chromium?.close());

const node = {
  where: "Node",
  open: async () => {
    await openNodeDevice(process.env["TESSERA_ICD"]);
  },
  train: (a: TrainArgs): Promise<unknown> => trainJob(host, a),
  fail: (a: FailingArgs): Promise<unknown> => failingJob(host, a),
  lose: (a: TrainArgs): Promise<unknown> => failingJob(host, { ...a, failure: "destroyed", afterStep: 6 }),
};
const page: typeof node = {
  where: "Chromium",
  open: async () => {
    await chromium?.close();
    chromium = await openChromium({ host });
  },
  train: (a) => chromium!.runJob("/jobs/train.ts", a),
  fail: (a) => chromium!.runJob("/test/cli/failing-job.ts", a),
  // The browser's process for the GPU crashes.
  lose: (a) => {
    crashAt = 6;
    return chromium!.runJob("/jobs/train.ts", a);
  },
};

describe.each([node, page])("in $where", ({ where, open, train, fail, lose }) => {
  const [whole, full, lost] = ["whole", "full", "lost"].map((name) => `${where}-${name}`) as [string, string, string];

  test("memory that is out: saved, and gone on with", async () => {
    await open();
    await train(args(whole));
    await expect(fail({ ...args(full), failure: "memory", afterStep: 6 })).rejects.toMatchObject({
      name: "OutOfMemoryError",
      message: expect.stringMatching(
        /^train: out of GPU memory: [^\n]+; the checkpoint of step [678] stands in [^\n]*full\/checkpoint\.safetensors; go on with --resume; smaller batches [^\n]*$/,
      ),
    });
    await train(args(full, { resume: true }));
    expect(weights(full).equals(weights(whole))).toBe(true);
    // Of a step whose numbers were being read when memory ran out, they are gone.
    const lacking = steps(whole).filter((step) => !steps(full).includes(step));
    expect(
      lacking.every((step) => step === 7 || step === 8),
      `lacking: ${lacking}`,
    ).toBe(true);
  });

  test("a lost device: the last checkpoint is named, and gone on with", async () => {
    await expect(lose(args(lost))).rejects.toMatchObject({
      name: "DeviceLostError",
      message: expect.stringMatching(
        /^train: device lost \((destroyed|unknown)\): [^\n]+; the checkpoint of step (4|8) stands in [^\n]*lost\/checkpoint\.safetensors; go on with --resume$/,
      ),
    });
    await open();
    await train(args(lost, { resume: true }));
    expect(weights(lost).equals(weights(whole))).toBe(true);
    expect(steps(lost)).toEqual(steps(whole));
  });
});

test("a device lost before there is a checkpoint", async () => {
  await node.open();
  await expect(failingJob(host, { ...args("none", { saveEvery: 100 }), failure: "destroyed", afterStep: 2 })).rejects.toThrow(
    /; no checkpoint was saved yet$/,
  );
});
