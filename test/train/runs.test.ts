/** What a run refuses to go on from, what it leaves in its folder, and how it fails. In Node, on a tiny model. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { nodeHost } from "../../cli/node/host.ts";
import type { Host } from "../../jobs/host.ts";
import estimateJob from "../../jobs/estimate.ts";
import trainJob, { type TrainArgs } from "../../jobs/train.ts";
import { getDevice } from "../../engine/device.ts";
import { trimPool } from "../../engine/launch.ts";
import { parseSafetensors, writeSafetensors } from "../../models/checkpoints/safetensors.ts";
import { createModel } from "../../models/model.ts";
import { countParams, initialState } from "../../models/params.ts";
import { writeWeights } from "../../models/checkpoints/weights.ts";
import { CIFAR10_CLASSES } from "../../train/data/dataset.ts";

const folder = mkdtempSync(join(tmpdir(), "tessera-runs-"));
const at = (name: string) => join(folder, name);
const MODEL = { arch: "deit", imgSize: 32, patchSize: 16, dim: 16, depth: 1, heads: 1, numClasses: 10 };
const records = readFileSync("app/data/cifar10/test.bin");
writeFileSync(at("few.bin"), records.subarray(0, 40 * 3073));
writeFileSync(at("fewer.bin"), records.subarray(0, 39 * 3073));
writeFileSync(at("other.bin"), records.subarray(3073, 41 * 3073));
const model = createModel(MODEL);
for (const [name, seed] of [
  ["teacher", 8],
  ["teacher2", 9],
] as const)
  writeFileSync(at(name), writeWeights(initialState(model.params, seed), { config: model.config }));

const data = (name: string) => ({ kind: "cifar10", paths: [at(name)], classes: CIFAR10_CLASSES }) as const;
const RECIPE = {
  ...{ epochs: 3, batchSize: 10, warmupEpochs: 0, repeats: 1, autoAugment: null, erasing: 0, mixup: 0, cutmix: 0, dropPath: 0 },
  ...{ emaDecay: null, lr: 0.01 },
};
const args = (out: string, more: Partial<TrainArgs> = {}): TrainArgs => ({
  ...{ model: MODEL, recipe: RECIPE, seed: 5, train: data("few.bin"), test: data("few.bin"), out: at(out), evalEvery: 100 },
  ...more,
});
const lines: string[] = [];
const host: Host = { ...nodeHost((event) => lines.push(String(event["message"]))), progress: () => undefined };
const run = (out: string, more: Partial<TrainArgs> = {}, on: Partial<Host> = {}) => trainJob({ ...host, ...on }, args(out, more));
const usage = (message: RegExp) => ({ name: "UsageError", message: expect.stringMatching(message) });
const checkpoint = (out: string) => join(at(out), "checkpoint.safetensors");
const weights = (out: string) => readFileSync(join(at(out), "model.safetensors"));

/** Changes the record in a checkpoint. */
function edit(out: string, change: (meta: Record<string, unknown>) => Record<string, unknown>): void {
  const { tensors, metadata } = parseSafetensors(readFileSync(checkpoint(out)));
  const tessera = JSON.stringify(change(JSON.parse(metadata["tessera"]!) as Record<string, unknown>));
  writeFileSync(checkpoint(out), writeSafetensors(tensors, { tessera }));
}

/** A checkpoint as versions before data and checksum were recorded wrote it. */
const asVersion1 = ({ sha256: _, origin: __, ...meta }: Record<string, unknown>) => {
  const { nesterov: ___, maxGradNorm: ____, ...recipe } = meta["recipe"] as Record<string, unknown>;
  return { ...meta, recipe, version: 1 };
};

test("resume: other data, another teacher or place of augmentation is refused by name, and gone on with on request", async () => {
  const distilled = { recipe: { ...RECIPE, distillation: "soft", singleToken: true }, teacher: { weights: at("teacher") } };
  await run("changed", { ...distilled, maxSteps: 6 });
  const resumed = (more: Partial<TrainArgs>) => run("changed", { ...distilled, resume: true, maxSteps: 8, ...more });
  await expect(resumed({ train: data("fewer.bin") })).rejects.toMatchObject(
    usage(/^expected a checkpoint with trainImages 39, got 40; --allow-changed goes on with it \(.*checkpoint\.safetensors\)$/),
  );
  await expect(resumed({ train: data("other.bin") })).rejects.toMatchObject(usage(/trainDigest "/));
  await expect(resumed({ test: data("other.bin") })).rejects.toMatchObject(usage(/testDigest "/));
  await expect(resumed({ augment: "cpu" })).rejects.toMatchObject(usage(/augment "cpu", got "gpu"/));
  await expect(resumed({ teacher: { weights: at("teacher2") } })).rejects.toMatchObject(usage(/teacherDigest "/));
  expect(await resumed({ train: data("fewer.bin"), allowChanged: true })).toMatchObject({ finished: true, step: 8 });
});

test("features: a teacher without a classifier and of another side has its positions interpolated; what is saved is the student alone", async () => {
  const eyes = createModel({ ...MODEL, imgSize: 48, patchSize: 8, dim: 24, heads: 2, numClasses: 0, layerScale: 1e-5 });
  writeFileSync(at("eyes"), writeWeights(initialState(eyes.params, 3), { config: eyes.config }));
  const by = (distillation: string) => ({
    recipe: { ...RECIPE, distillation, singleToken: distillation === "soft" },
    teacher: { weights: at("eyes") },
  });
  expect(await run("features", { ...by("features"), maxSteps: 1 })).toMatchObject({ finished: true, teacher: { side: 32 } });
  expect([...parseSafetensors(weights("features")).tensors.keys()].sort()).toEqual(model.params.map(({ name }) => name).sort());
  await expect(run("logits", by("soft"))).rejects.toMatchObject(
    usage(/^expected a teacher for the student's images \[3,32,32\], got custom deit of .* for \[3,48,48\]$/),
  );
});

test("resume: a damaged checkpoint and a position that cannot be are refused", async () => {
  await run("damaged", { maxSteps: 6 });
  const good = readFileSync(checkpoint("damaged"));
  const refused = (message: RegExp) => expect(run("damaged", { resume: true })).rejects.toMatchObject(usage(message));
  const flipped = Buffer.from(good);
  flipped[good.length - 100]! ^= 4;
  writeFileSync(checkpoint("damaged"), flipped);
  await refused(/checksum it was saved with, got another: the file is damaged/);
  for (const change of [{ step: "6" }, { step: null }, { epoch: -1 }, { stepInEpoch: 1.5 }]) {
    writeFileSync(checkpoint("damaged"), good);
    edit("damaged", (meta) => ({ ...meta, ...change }));
    await refused(new RegExp(`record of the run: ${Object.keys(change)[0]}: `));
  }
  writeFileSync(checkpoint("damaged"), good);
  edit("damaged", ({ sha256: _, ...meta }) => ({ ...meta, step: 7 }));
  await refused(/expected a checkpoint at step 6 \(epoch 1, step 2 of 4\), got step 7/);
});

test("resume: a checkpoint of version 1 is gone on with to the same bits, or refused where its recipe meant something else", async () => {
  await run("whole");
  await run("old", { maxSteps: 6 });
  edit("old", asVersion1);
  await run("old", { resume: true });
  expect(weights("old").equals(weights("whole"))).toBe(true);

  const old = async (out: string, more: Partial<TrainArgs>) => {
    await run(out, { ...more, maxSteps: 2 });
    edit(out, asVersion1);
    return run(out, { ...more, resume: true });
  };
  const sgd = { ...RECIPE, optimizer: "sgd" };
  await expect(old("old-sgd", { recipe: sgd })).rejects.toMatchObject(usage(/with nesterov true, got false/));
  await expect(old("old-lamb", { recipe: { ...RECIPE, optimizer: "lamb" } })).rejects.toMatchObject(usage(/with maxGradNorm 1, got null/));
  await expect(old("old-heads", { model: { ...MODEL, distilled: true } })).rejects.toMatchObject(
    usage(/mean of both heads, got one of version 1/),
  );
  expect(await old("old-plain-sgd", { recipe: { ...sgd, nesterov: false } })).toMatchObject({ finished: true });
});

test("metrics: what a kill tore is reported and left out; every step stands once; files grow by what is new", async () => {
  await run("torn", { maxSteps: 6 });
  const metrics = join(at("torn"), "metrics.jsonl");
  writeFileSync(metrics, `${readFileSync(metrics, "utf8")}{"kind":"step","step":7}\n{"kind":"st`);
  const written: [string, number][] = [];
  lines.length = 0;
  await run(
    "torn",
    { resume: true, saveEvery: 1 },
    {
      writeFile: (path, bytes) => (written.push([path, bytes.length]), host.writeFile(path, bytes)),
      appendFile: (path, bytes) => (written.push([`+${path}`, bytes.length]), host.appendFile(path, bytes)),
    },
  );
  expect(lines[0]).toBe(`${metrics}: 1 of 9 lines cannot be read and are left out`);
  const steps = readFileSync(metrics, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { kind: string; step: number });
  expect(steps.filter((m) => m.kind === "step").map((m) => m.step)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
  expect(written.filter(([path]) => path === metrics).length).toBe(1);
  const appended = written.filter(([path]) => path === `+${metrics}`).map(([, size]) => size);
  expect(appended.length).toBeGreaterThan(3);
  expect(Math.max(...appended)).toBeLessThan(1200); // a step's line and an epoch's at most
  const events = written.filter(([path]) => path.endsWith(".tessera")).reduce((n, [, size]) => n + size, 0);
  expect(readFileSync(join(at("torn"), "events.out.tfevents.tessera")).length).toBe(events);
});

test("a folder that holds a run wants --resume or --overwrite", async () => {
  await run("twice", { maxSteps: 2 });
  const before = readdirSync(at("twice"));
  await expect(run("twice", { maxSteps: 2 })).rejects.toMatchObject(
    usage(/expected --resume or --overwrite for .*twice, which holds a run/),
  );
  await expect(run("twice", { resume: true, overwrite: true })).rejects.toMatchObject(usage(/either --resume or --overwrite, got both/));
  expect(await run("twice", { maxSteps: 1, overwrite: true })).toMatchObject({ step: 1 });
  expect(readdirSync(at("twice"))).toEqual(before);
});

test("a model that the adapter cannot hold is refused before its weights are drawn", async () => {
  const wide = { ...MODEL, dim: 16384, heads: 256 };
  await expect(run("wide", { model: wide })).rejects.toMatchObject(
    usage(
      /expected parameters of at most [\d.]+ MiB, the adapter's limit for a buffer, got blocks\.0\.mlp\.fc1\.weight \[65536,16384\] of 4096\.0 MiB/,
    ),
  );
  await expect(run("deep", { model: { ...MODEL, dim: 1024, heads: 16, depth: 500 } })).rejects.toMatchObject(
    usage(/expected trained parameters in 6 buffers of at most/),
  );
});

test("a full disk is named with the file, and with the checkpoint that stands", async () => {
  let writes = 0;
  const full: Host["writeFile"] = (path, bytes) =>
    path.endsWith("checkpoint.safetensors") && ++writes === 2
      ? Promise.reject(Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" }))
      : host.writeFile(path, bytes);
  await expect(run("full", { saveEvery: 2 }, { writeFile: full })).rejects.toThrow(
    /^train: expected room for .*full\/checkpoint\.safetensors of \d+ bytes, got ENOSPC; the checkpoint of step 2 stands in .*checkpoint\.safetensors$/,
  );
});

test("a run whose every update was skipped fails", async () => {
  const huge = new Map(
    [...initialState(model.params, 1)].map(([n, t]) => [n, { ...t, data: n === "head.weight" ? t.data.map((v) => v * 1e25) : t.data }]),
  );
  writeFileSync(at("huge"), writeWeights(huge, { config: model.config }));
  await expect(run("skipped", { initial: at("huge"), maxSteps: 3 })).rejects.toThrow(
    /^train: expected an update with finite gradients, got 3 updates and all of them skipped; the weights are those at the start$/,
  );
});

test("--debug-nan names the first tensor that is not finite: a weight, or what a kernel wrote", async () => {
  const broken = (name: string, change: (values: Float32Array) => void) => {
    const state = new Map([...initialState(model.params, 1)].map(([n, t]) => [n, { ...t, data: t.data.slice() }]));
    change(state.get(name)!.data);
    writeFileSync(at("broken"), writeWeights(state, { config: model.config }));
  };
  broken("head.weight", (values) => values.forEach((v, i) => (values[i] = v * 1e38)));
  await expect(run("nan", { initial: at("broken"), debugNan: true, maxSteps: 2 })).rejects.toThrow(
    /^train: expected finite values in update 1, got Infinity at element \[0\] of squares of gradNorm\.parts \[5\], in gradNorm\.parts \(optimizer\); its inputs: gradients \[16512\] -\S+e\+38 to \S+e\+38; learning rate \S+$/,
  );
  expect(await run("nan", { debugNan: true, maxSteps: 2 })).toMatchObject({ step: 2 });
});

/** The most GPU memory that an update takes, in bytes. */
async function taken(out: string, more: Partial<TrainArgs>): Promise<number> {
  trimPool();
  const { stats } = getDevice();
  stats.bytesAllocatedPeak = stats.bytesAllocated;
  const before = stats.bytesAllocated;
  await run(out, { maxSteps: 1, ...more });
  return stats.bytesAllocatedPeak - before;
}

test("memory of looking into updates: said beforehand, and counted against a limit", async () => {
  const { memory } = await estimateJob(host, args("looked", { stats: 1 }));
  const most = memory.peak + memory.replay;
  expect(memory.replay).toBeGreaterThan(memory.activations / 2);
  expect(Math.abs((await taken("looked", { stats: 1 })) - most)).toBeLessThan(0.05 * most);
  expect(lines.some((line) => / MiB of GPU memory, and [\d.]+ MiB more while it looks into an update$/.test(line))).toBe(true);
  for (const debugNan of [true, false]) {
    const attempt = estimateJob(host, args("looked2", { debugNan, memoryLimit: memory.peak }));
    if (debugNan)
      await expect(attempt).rejects.toMatchObject(usage(new RegExp(`^expected at most ${memory.peak} bytes of GPU memory, got ${most} `)));
    else expect((await attempt).memory.replay).toBe(0);
  }
});

test("--dry-run says the memory that the run then takes, and writes nothing", async () => {
  const { memory, params, batch } = await estimateJob(host, args("dry"));
  expect(existsSync(at("dry"))).toBe(false);
  expect({ params, batch }).toEqual({ params: countParams(model.params), batch: 10 });
  expect(memory.replay).toBe(0);
  expect(Math.abs((await taken("dry", {})) - memory.peak)).toBeLessThan(0.05 * memory.peak);
  await expect(estimateJob(host, args("dry2", { memoryLimit: 1000 }))).rejects.toMatchObject(
    usage(/^expected at most 1000 bytes of GPU memory/),
  );
});
