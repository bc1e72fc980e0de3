/** Teaching an app's own classes: what is learned, and that stops, lost devices and reloads change no bit of it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openNodeDevice } from "../../cli/node/adapter.ts";
import { getDevice } from "../../engine/device.ts";
import type { Example, FineTuneOptions, Store, VisionModel } from "../../tasks/api.ts";
import { isHead } from "../../models/heads.ts";
import { readWeights } from "../../models/checkpoints/weights.ts";
import { loadModel } from "../../tasks/load-model.ts";
import { coloredExamples, picture, TINY, tinyFile } from "./pictures.ts";

const EXAMPLES = coloredExamples(10);
const RED = picture(30, 30, () => [230, 30, 50]);

function memoryStore(): Store & { bytes: Uint8Array | null } {
  return {
    bytes: null,
    async get() {
      return this.bytes;
    },
    async set(bytes) {
      this.bytes = bytes.slice();
    },
    async delete() {
      this.bytes = null;
    },
  };
}

let base: VisionModel;
beforeAll(async () => {
  base = await loadModel(tinyFile());
});
afterAll(() => openNodeDevice(process.env["TESSERA_ICD"]));

const WAYS: readonly [NonNullable<FineTuneOptions["train"]>, FineTuneOptions][] = [
  ["head", { epochs: 60 }],
  ["all", { epochs: 6, learningRate: 3e-3, batchSize: 8 }],
  ["lora", { epochs: 8, learningRate: 1e-2, batchSize: 8, lora: { rank: 4, targets: ["qkv", "fc1"] } }],
  ["attention", { epochs: 6, learningRate: 3e-3, batchSize: 8 }],
];

describe.each(WAYS)("fineTune, %s", (train, options) => {
  const o = { train, ...options };

  test("learns three classes, and the model that comes of it is saved, loaded and right", async () => {
    const steps: number[] = [];
    const { model, finished, epochs } = await base.fineTune(EXAMPLES, { ...o, onStep: ({ step }) => steps.push(step) });
    expect(finished).toBe(true);
    expect(model.labels).toEqual(["blue", "green", "red"]);
    expect(steps).toEqual(Array.from({ length: steps.length }, (_, i) => i + 1));
    const last = epochs.at(-1)!;
    expect(last.test!.count).toBe(6); // two of each ten
    expect(last.test!.model.top1).toBe(1);
    expect((await model.classify(RED))[0]!.label).toBe("red");
    const again = await loadModel(await model.save());
    expect(await again.classify(RED)).toEqual(await model.classify(RED));
    for (const m of [model, again]) m.dispose();
  });

  test("stopped and gone on with, or through lost devices: the same bits, and an empty store", async () => {
    const whole = await base.fineTune(EXAMPLES, o);
    const expected = await whole.model.save();

    const store = memoryStore();
    const stop = new AbortController();
    const half = await base.fineTune(EXAMPLES, {
      ...o,
      checkpoint: store,
      signal: stop.signal,
      onStep: ({ step, totalSteps }) => step === Math.floor(totalSteps / 2) && stop.abort(),
    });
    expect(half.finished).toBe(false);
    expect(half.model.labels).toEqual(["blue", "green", "red"]);
    expect(store.bytes).not.toBeNull();
    const rest = await base.fineTune(EXAMPLES, { ...o, checkpoint: store });
    expect(rest.finished).toBe(true);
    expect(store.bytes).toBeNull();
    expect(await rest.model.save()).toEqual(expected);

    const seen: number[] = [];
    const through = await base.fineTune(EXAMPLES, {
      ...o,
      checkpointEvery: { steps: 3 },
      onStep({ step }) {
        seen.push(step);
        if (step === 2 || step === 8) getDevice().gpu.destroy();
      },
    });
    expect(await through.model.save()).toEqual(expected);
    expect(new Set(seen).size).toBe(seen.length); // steps that are done again are told once
    for (const { model } of [whole, half, rest, through]) model.dispose();
  });

  test("a store with another run is refused by what differs", async () => {
    const store = memoryStore();
    const stop = new AbortController();
    await base.fineTune(EXAMPLES, { ...o, checkpoint: store, signal: stop.signal, onStep: () => stop.abort() });
    const kept = store.bytes;
    await expect(base.fineTune(EXAMPLES, { ...o, checkpoint: store, seed: 9 })).rejects.toThrow(
      /expected the store to hold this run or none.*seed/,
    );
    const other = await loadModel(tinyFile({ ...TINY, depth: 1 }));
    await expect(other.fineTune(EXAMPLES, { ...o, checkpoint: store })).rejects.toThrow(/another.*model/);
    const way = train === "head" ? "all" : "head";
    await expect(base.fineTune(EXAMPLES, { ...o, train: way, checkpoint: store })).rejects.toThrow(
      /StoreError|expected the store to hold this run/,
    );
    store.bytes = new TextEncoder().encode("something else");
    await expect(base.fineTune(EXAMPLES, { ...o, checkpoint: store })).rejects.toThrow(/fineTune: expected/);
    expect(kept).not.toBeNull();
    other.dispose();
  });
});

test("a store that is full ends the run with what it was to hold", async () => {
  const full: Store = {
    get: async () => null,
    set: () => Promise.reject(new Error("QuotaExceededError: no room")),
    delete: async () => undefined,
  };
  const run = base.fineTune(EXAMPLES, { epochs: 20, checkpoint: full, checkpointEvery: { steps: 5 } });
  const error = await run.then(
    () => null,
    (e: unknown) => e as Error & { checkpoint: Uint8Array },
  );
  expect(error!.name).toBe("StoreError");
  expect(error!.message).toMatch(/expected the store to keep \d+ bytes, got QuotaExceededError/);
  const store = { ...full, get: async () => error!.checkpoint };
  expect((await base.fineTune(EXAMPLES, { epochs: 20, checkpoint: store })).finished).toBe(true);
});

test("validation 0 holds nothing back; examples of their own measure", async () => {
  const none = await base.fineTune(EXAMPLES, { epochs: 3, validation: 0 });
  expect(none.epochs.at(-1)!.test).toBeNull();
  const own = await base.fineTune(EXAMPLES, { epochs: 3, validation: coloredExamples(2, 5) });
  expect(own.epochs.at(-1)!.test!.count).toBe(6);
});

test("lora leaves all but its targets and the head as they were, and adds what its rank can", async () => {
  const tuned = await base.fineTune(EXAMPLES, { train: "lora", epochs: 2, learningRate: 1e-2, lora: { rank: 1, targets: ["proj"] } });
  const [before, after] = [readWeights(await base.save()).state, readWeights(await tuned.model.save()).state];
  const changed = [...after].filter(([name, { data }]) => !isHead(name) && data.some((v, i) => v !== before.get(name)!.data[i]));
  expect(changed.map(([name]) => name)).toEqual(["blocks.0.attn.proj.weight", "blocks.1.attn.proj.weight"]);
  const [name, { data }] = changed[0]!;
  const delta = data.map((v, i) => v - before.get(name)!.data[i]!);
  for (let i = 1; i < 24; i++)
    for (let j = 1; j < 24; j++) expect(delta[0]! * delta[24 * i + j]! - delta[j]! * delta[24 * i]!).toBeCloseTo(0, 6); // of rank 1
  await expect(base.fineTune(EXAMPLES, { train: "lora", lora: { rank: 0 } })).rejects.toThrow(/a rank of at least 1, got 0/);
  tuned.model.dispose();
});

test.each([
  { arch: "resnet", imgSize: 16, depths: [1, 1, 1, 1], stemWidth: 8, width: 4, numClasses: 5 },
  { arch: "convnext", imgSize: 32, depths: [1, 1, 1, 1], dims: [8, 8, 8, 16], numClasses: 5 },
])("a head on $arch's own features answers as the whole model with it does", async (config) => {
  const network = await loadModel(tinyFile(config));
  const { model, epochs } = await network.fineTune(EXAMPLES, { train: "head", epochs: 60, learningRate: 0.1, validation: 0 });
  const answers = await Promise.all(EXAMPLES.map(async ({ image }) => (await model.classify(image as ImageData))[0]!.label));
  const right = answers.filter((label, i) => label === EXAMPLES[i]!.label).length;
  expect(right / EXAMPLES.length).toBeGreaterThan(0.6);
  expect(right / EXAMPLES.length).toBeCloseTo(epochs.at(-1)!.trainTop1, 1);
  for (const m of [network, model]) m.dispose();
});

describe("examples that teach nothing", () => {
  const some = (...labels: string[]): Example[] => labels.map((label) => ({ image: RED, label }));
  test.each([
    ["none", [], {}, /examples of at least two classes, got none/],
    ["one class", some("a", "a"), {}, /at least two classes, got "a" alone/],
    ["a label that is not in labels", some("a", "b"), { labels: ["a", "c"] }, /expected labels among a, c, got "b"/],
    ["a class without a picture", some("a", "b"), { labels: ["a", "b", "c"] }, /expected a picture of each class, got none of c/],
    ["a label twice", some("a", "b"), { labels: ["a", "b", "a"] }, /each label once, got "a"/],
    ["no label", [{ image: RED } as Example], {}, /expected a label for each picture, got none for picture 0/],
    ["a share of everything", some("a", "b"), { validation: 1 }, /validation from 0 to less than 1, got 1/],
  ] as const)("%s", async (_, examples, options, message) => {
    const run = base.fineTune(examples, options as FineTuneOptions);
    await expect(run).rejects.toThrow(message);
    await expect(run).rejects.toMatchObject({ name: "ExamplesError" });
  });
});
