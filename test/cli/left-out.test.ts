/** One bad file, or one answer that is not finite, among good ones: named, and the rest goes on; in `classify`, `eval` and evaluation inside `train`. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { main } from "../../cli/main.ts";
import type { ClassifyResult } from "../../jobs/classify.ts";
import type { EvalResult } from "../../jobs/eval.ts";
import { createModel } from "../../models/model.ts";
import { writeWeights } from "../../models/checkpoints/weights.ts";
import { fillState } from "../golden/fill.ts";

const folder = mkdtempSync(join(tmpdir(), "tessera-left-out-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => void vi.restoreAllMocks());

async function tessera(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  let [stdout, stderr] = ["", ""];
  vi.spyOn(process.stderr, "write").mockImplementation((text) => ((stderr += text), true));
  vi.spyOn(process.stdout, "write").mockImplementation((text, ...rest) => {
    stdout += text;
    for (const done of rest) if (typeof done === "function") (done as () => void)();
    return true;
  });
  return { code: await main(args), stdout, stderr };
}
const json = <T>(name: string) => JSON.parse(readFileSync(at(name), "utf8")) as T;

const config = { arch: "deit", imgSize: 16, patchSize: 8, inChans: 3, dim: 12, depth: 1, heads: 1, mlpRatio: 4, numClasses: 2 } as const;
const CLASSES = ["a", "b"];
const golden = "test/golden/faults/one-bad-image"; // a0.png, a1.png, a2.png, b.jpg (which is none), c.png

beforeAll(() => {
  const model = createModel({ ...config, distilled: false });
  const values = fillState(model.params.map((p) => [p.name, p.shape]));
  const write = (name: string, change: (name: string, data: Float32Array) => Float32Array) =>
    writeFileSync(
      at(name),
      writeWeights(new Map(model.params.map((p) => [p.name, { shape: p.shape, data: change(p.name, values.get(p.name)!) }])), {
        config: model.config,
        classes: CLASSES,
      }),
    );
  write("w.safetensors", (_, data) => data);
  write("nan.safetensors", (name, data) => (name === "head.weight" ? data.map((_, i) => (i % 2 ? 3e38 : -3e38)) : data));
  for (const split of ["train", "val"])
    for (const name of CLASSES) {
      mkdirSync(at(`set/${split}/${name}`), { recursive: true });
      for (const i of [0, 1, 2]) copyFileSync(`${golden}/a${i}.png`, at(`set/${split}/${name}/${i}.png`));
    }
  copyFileSync(`${golden}/b.jpg`, at("set/val/b/bad.jpg"));
});

test("classify: the bad file is named, all others are answered, JSON holds both, exit 1", async () => {
  const { code, stdout, stderr } = await tessera(
    "classify",
    golden,
    "--weights",
    at("w.safetensors"),
    "--batch-size",
    "2",
    "--json",
    at("c.json"),
  );
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /tessera classify: expected an answer for every image, got none for ".*b\.jpg": expected a JPEG, .* got bytes 78 78 …\n$/,
  );
  expect([...stdout.matchAll(/(\w+\.\w+)\n/g)].map((m) => m[1])).toEqual(["a0.png", "a1.png", "a2.png", "c.png"]);
  const { results } = json<ClassifyResult>("c.json");
  expect(results.map((r) => [r.top.length, r.error === undefined])).toEqual([
    [2, true],
    [2, true],
    [2, true],
    [0, false],
    [2, true],
  ]);
  // Each answer is the one that the file gets alone.
  await tessera("classify", `${golden}/c.png`, "--weights", at("w.safetensors"), "--json", at("alone.json"));
  expect(results[4]!.top[0]!.index).toBe(json<ClassifyResult>("alone.json").results[0]!.top[0]!.index);
  expect(results[4]!.top[0]!.probability).toBeCloseTo(json<ClassifyResult>("alone.json").results[0]!.top[0]!.probability, 5);
});

test("classify: no file that can be read is bad input, exit 2", async () => {
  const { code, stderr } = await tessera("classify", `${golden}/b.jpg`, "--weights", at("w.safetensors"));
  expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining("got none for ") });
});

test("classify: an answer that is not finite is none, by image and with advice where activations are f16", async () => {
  const args = ["classify", `${golden}/a0.png`, `${golden}/a1.png`, "--weights", at("nan.safetensors")];
  const { code, stdout, stderr } = await tessera(...args);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(
    /no answer for ".*a0\.png": expected finite logits, got (NaN|-?Infinity)\nno answer for ".*a1\.png": .*\n.*got none for the 2 of 2 named above\n$/,
  );
});

test("eval: the score is of the images that can be read, the other is named, exit 1; NaN is an error that names its image", async () => {
  const { code, stdout, stderr } = await tessera(
    "eval",
    "--weights",
    at("w.safetensors"),
    "--data",
    at("set"),
    "--batch-size",
    "3",
    "--json",
    at("e.json"),
  );
  expect({ code, stdout }).toMatchObject({ code: 1, stdout: expect.stringMatching(/^6 images/) });
  expect(stderr).toMatch(/val\/b\/bad\.jpg left out: expected a JPEG/);
  const result = json<EvalResult>("e.json");
  expect(result.leftOut).toEqual([{ name: at("set/val/b/bad.jpg"), reason: expect.stringContaining("expected a JPEG") }]);
  rmSync(at("set/val/b/bad.jpg"));
  const whole = await tessera(
    "eval",
    "--weights",
    at("w.safetensors"),
    "--data",
    at("set"),
    "--batch-size",
    "3",
    "--json",
    at("whole.json"),
  );
  expect(whole.code).toBe(0);
  expect(result.model).toEqual(json<EvalResult>("whole.json").model);
  copyFileSync(`${golden}/b.jpg`, at("set/val/b/bad.jpg"));
  const nan = await tessera("eval", "--weights", at("nan.safetensors"), "--data", at("set"));
  expect(nan).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/expected finite logits, got (NaN|-?Infinity) for .*val\/a\/0\.png/),
  });
});

test("train: a validation image that cannot be read is named, and the run ends well", async () => {
  const { numClasses: _, ...model } = config;
  const { code, stderr } = await tessera(
    ...[
      "train",
      "--model",
      JSON.stringify(model),
      "--data",
      at("set"),
      "--out",
      at("run"),
      "--batch-size",
      "2",
      "--mixup",
      "0",
      "--cutmix",
      "0",
    ],
    ...["--epochs", "1", "--warmup-epochs", "0", "--repeats", "1", "--json", at("t.json")],
  );
  expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringMatching(/val\/b\/bad\.jpg left out: expected a JPEG/) });
  expect(json<{ epochs: { test: EvalResult }[] }>("t.json").epochs[0]!.test).toMatchObject({
    count: 6,
    leftOut: [{ name: at("set/val/b/bad.jpg") }],
  });
});

test("eval: classes are numbered as the weights name them, also where folders are fewer or ordered otherwise", async () => {
  const model = createModel({ ...config, distilled: false });
  const values = fillState(model.params.map((p) => [p.name, p.shape]));
  writeFileSync(
    at("zb.safetensors"),
    writeWeights(new Map(model.params.map((p) => [p.name, { shape: p.shape, data: values.get(p.name)! }])), {
      config: model.config,
      classes: ["z", "b"],
    }),
  );
  mkdirSync(at("one/val/b"), { recursive: true });
  copyFileSync(`${golden}/a0.png`, at("one/val/b/0.png"));
  const { code, stderr } = await tessera(
    "eval",
    "--weights",
    at("zb.safetensors"),
    "--data",
    at("one"),
    "--protocol",
    "official",
    "--json",
    at("one.json"),
  );
  expect({ code, stderr }).toMatchObject({ code: 0 });
  await tessera("classify", `${golden}/a0.png`, "--weights", at("zb.safetensors"), "--json", at("b.json"));
  const b = json<ClassifyResult>("b.json").results[0]!.top.find((t) => t.label === "b")!;
  expect(json<EvalResult>("one.json").model.loss).toBeCloseTo(-Math.log(b.probability), 4);
});
