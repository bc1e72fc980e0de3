/** `eval` on photographs of other sizes than the model's: resized, cut and normalised as `classify`, by every protocol; and whose statistics are used. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { ClassifyResult } from "../../jobs/classify.ts";
import type { EvalResult } from "../../jobs/eval.ts";
import { main } from "../../cli/main.ts";
import { Random } from "../../kernels/shared/random.ts";
import { createModel } from "../../models/model.ts";
import { PROTOCOLS } from "../../models/images/protocols.ts";
import { parseSafetensors, writeSafetensors } from "../../models/checkpoints/safetensors.ts";
import { writeWeights } from "../../models/checkpoints/weights.ts";
import { score } from "../../train/evaluate.ts";
import { CIFAR10_MEAN, CIFAR10_STD } from "../../train/data/dataset.ts";
import { CIFAR100_MEAN, CIFAR100_STD } from "../../train/data/cifar100.ts";
import { fillState } from "../golden/fill.ts";

const folder = mkdtempSync(join(tmpdir(), "tessera-eval-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => void vi.restoreAllMocks());

const CLASSES = ["ant", "bee", "cat"];
const SIZES = [
  [70, 110],
  [96, 51],
  [48, 48],
  [131, 60],
] as const;
const config = (imgSize: number, numClasses: number) =>
  ({ arch: "deit", imgSize, patchSize: 16, inChans: 3, dim: 16, depth: 1, heads: 2, mlpRatio: 2, numClasses, distilled: false }) as const;

async function tessera(...args: string[]): Promise<{ code: number; stderr: string }> {
  let stderr = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => ((stderr += text), true));
  vi.spyOn(process.stdout, "write").mockImplementation(() => true);
  return { code: await main(args), stderr };
}

/** A file with weights and nothing else, and one that also says how images were normalised. */
function writeBoth(name: string, side: number, classes: number, named: { mean: readonly number[]; std: readonly number[] }): void {
  const model = createModel(config(side, classes));
  const values = fillState(model.params.map((p) => [p.name, p.shape]));
  const state = new Map(model.params.map((p) => [p.name, { shape: p.shape, data: values.get(p.name)! }]));
  writeFileSync(at(`${name}.safetensors`), writeSafetensors([...state].map(([key, t]) => [key, { dtype: "F32", ...t }])));
  writeFileSync(at(`${name}-named.safetensors`), writeWeights(state, { config: config(side, classes), ...named }));
}

const evaluated = async (...args: string[]): Promise<EvalResult> => {
  const { code, stderr } = await tessera("eval", ...args, "--json", at("eval.json"));
  expect(code, stderr).toBe(0);
  return JSON.parse(readFileSync(at("eval.json"), "utf8")) as EvalResult;
};

beforeAll(async () => {
  const random = new Random(1, 0);
  for (const [k, name] of CLASSES.entries()) {
    mkdirSync(at(`photos/val/${name}`), { recursive: true });
    mkdirSync(at(`photos/train/${name}`), { recursive: true });
    for (const [i, [height, width]] of SIZES.entries()) {
      const data = Uint8Array.from({ length: 3 * height * width }, (_, b) => 40 * k + 30 * Math.sin(b / 50) + random.int(100) + 30);
      writeFileSync(
        at(`photos/val/${name}/${i}.png`),
        await sharp(data, { raw: { height, width, channels: 3 } })
          .png()
          .toBuffer(),
      );
    }
  }
  writeBoth("photos", 48, CLASSES.length, { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] });
  writeBoth("headless", 48, 0, { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] });
  writeBoth("small", 32, CLASSES.length, { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] });
  writeBoth("cifar", 32, 10, { mean: CIFAR10_MEAN, std: CIFAR10_STD });
  writeBoth("cifar100", 32, 100, { mean: CIFAR100_MEAN, std: CIFAR100_STD });
  mkdirSync(at("hundred"));
  const record = (n: number) => [n % 20, n % 100, ...Array.from({ length: 3072 }, () => random.int(256))];
  for (const split of ["train", "test"])
    writeFileSync(at(`hundred/${split}.bin`), Uint8Array.from([...record(3), ...record(44), ...record(99)]));
});

describe("eval", { timeout: 60_000 }, () => {
  test.each([...PROTOCOLS.map((protocol) => ["photos", 48, protocol] as const), ["photos", 48, null], ["small", 32, null]] as const)(
    "%s of %i pixels by protocol %s: the loss is that of classify's probabilities",
    async (file, side, protocol) => {
      const by = protocol === null ? [] : ["--protocol", protocol];
      const { model, count } = await evaluated(
        "--weights",
        at(`${file}.safetensors`),
        "--model",
        JSON.stringify(config(side, 3)),
        "--data",
        at("photos"),
        "--batch-size",
        "5",
        ...by,
      );
      let loss = 0;
      for (const [k, name] of CLASSES.entries()) {
        expect(
          (
            await tessera(
              "classify",
              at(`photos/val/${name}`),
              "--weights",
              at(`${file}.safetensors`),
              "--model",
              JSON.stringify(config(side, 3)),
              "--topk",
              "3",
              ...by,
              "--json",
              at("classify.json"),
            )
          ).code,
        ).toBe(0);
        const { results } = JSON.parse(readFileSync(at("classify.json"), "utf8")) as ClassifyResult;
        for (const { top } of results) loss -= Math.log(top.find(({ index }) => index === k)!.probability);
      }
      expect(count).toBe(CLASSES.length * SIZES.length);
      expect(model.loss).toBeCloseTo(loss / count, 4);
    },
  );

  test.each([
    ["eval", "--data", at("photos")],
    ["classify", at("photos/val/ant")],
  ])("%s refuses a model without a classifier", async (...args) => {
    const { code, stderr } = await tessera(...args, "--weights", at("headless.safetensors"), "--model", JSON.stringify(config(48, 0)));
    expect({ code, last: stderr.trim().split("\n").at(-1) }).toEqual({
      code: 2,
      last: `tessera ${args[0]}: expected a model with a classifier, got custom deit without one`,
    });
  });

  test("--logits writes what was scored: a row of logits and a label for each image", async () => {
    const { model, count } = await evaluated(
      ...["--weights", at("photos-named.safetensors"), "--data", at("photos"), "--logits", at("logits.safetensors")],
    );
    const { tensors } = parseSafetensors(Uint8Array.from(readFileSync(at("logits.safetensors"))));
    expect(Object.fromEntries([...tensors].map(([name, { dtype, shape }]) => [name, [dtype, shape]]))).toEqual({
      logits: ["F32", [count, CLASSES.length]],
      labels: ["I32", [count]],
    });
    const [logits, labels] = [tensors.get("logits")!.data as Float32Array, tensors.get("labels")!.data as Int32Array];
    expect(score(logits, labels, CLASSES.length)).toEqual(model);
  });

  test("threads change nothing", async () => {
    const of = (workers: string) =>
      evaluated("--weights", at("photos-named.safetensors"), "--data", at("photos"), "--protocol", "hf", "--workers", workers);
    expect((await of("2")).model).toEqual((await of("0")).model);
  });

  test.each([
    ["photos", at("photos"), 48, 3],
    ["cifar", "cifar10-subset", 32, 10],
    ["cifar100", at("hundred"), 32, 100],
  ] as const)("%s: weights that do not say how images were normalised have the data's statistics", async (name, data, side, classes) => {
    const bare = await evaluated("--weights", at(`${name}.safetensors`), "--model", JSON.stringify(config(side, classes)), "--data", data);
    const named = await evaluated("--weights", at(`${name}-named.safetensors`), "--data", data);
    expect(bare.model).toEqual(named.model);
  });

  test("an image that cannot be read is named and left out, the rest is scored, and the exit code is 1", async () => {
    mkdirSync(at("broken/val/ant"), { recursive: true });
    for (const name of CLASSES) mkdirSync(at(`broken/train/${name}`), { recursive: true });
    for (const i of [0, 1, 2])
      writeFileSync(at(`broken/val/ant/${i}.png`), readFileSync(at(`photos/val/ant/${i}.png`)).subarray(0, i === 1 ? 40 : undefined));
    const { code, stderr } = await tessera("eval", "--weights", at("photos-named.safetensors"), "--data", at("broken"));
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /broken\/val\/ant\/1\.png left out: expected .*\n[^]*expected every image to be scored, got 1 of 3 left out, named above/,
      ),
    });
  });

  test("a protocol that is none, a batch of no image", async () => {
    expect(await tessera("eval", "--weights", at("photos.safetensors"), "--protocol", "none")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('expected one of official, timm, hf for --protocol <name>, got "none"'),
    });
    expect(await tessera("eval", "--weights", at("photos.safetensors"), "--batch-size", "0")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('expected an integer from 1 on for --batch-size <n>, got "0"'),
    });
  });
});
