/**
 * Every name of a model through every command and the library, on a small model of each kind that the names have: classify or features, train,
 * eval, convert to every naming and back, an ONNX file whose answers in onnxruntime-node are ours, loadModel. Prints the table of RESULTS.md.
 * Installs the benchmark's rivals (once): needs the npm registry.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { installRivals } from "../../bench/rivals.ts";
import { main } from "../../cli/main.ts";
import { noGrad } from "../../engine/autograd.ts";
import { adapterName, getDevice } from "../../engine/device.ts";
import { scope } from "../../engine/memory.ts";
import { Tensor } from "../../engine/tensor.ts";
import { readWeights, writeWeights } from "../../models/checkpoints/weights.ts";
import { createModel, modelNames, type Model, type ModelConfig } from "../../models/model.ts";
import { loadParams, type State } from "../../models/params.ts";
import { loadModel } from "../../tasks/load-model.ts";
import { fillInput, fillState } from "../golden/fill.ts";

const folder = mkdtempSync(join(tmpdir(), "tessera-names-"));
const at = (name: string) => join(folder, name);
const rows: string[] = [];
const CLASSES = ["ash", "oak"];

/** The same parts in small sizes. */
function small(config: ModelConfig): Record<string, unknown> {
  const numClasses = config.numClasses > 0 ? 2 : 0;
  if (config.arch === "deit") return { ...config, imgSize: 2 * config.patchSize, dim: 16, depth: 2, heads: 2, mlpRatio: 2, numClasses };
  if (config.arch === "resnet") return { ...config, imgSize: 32, depths: [1, 1, 1, 1], stemWidth: 8, width: 4, numClasses };
  if (config.arch === "convnext") return { ...config, imgSize: 32, depths: [1, 1, 1, 1], dims: [4, 8, 8, 12], convMlp: false, numClasses };
  return { arch: "regnety", imgSize: 32, w0: 8, wa: 8, wm: 2, groupWidth: 8, depth: 3, stemWidth: 8, numClasses };
}

/** Names by the small model that stands for them. */
const kinds = new Map<string, string[]>();
for (const name of modelNames) {
  const kind = JSON.stringify(small(createModel(name).config));
  kinds.set(kind, [...(kinds.get(kind) ?? []), name]);
}

beforeAll(async () => {
  await installRivals((message) => console.log(message));
  for (const [k, label] of CLASSES.entries())
    for (const split of ["train", "val"]) {
      mkdirSync(at(`photos/${split}/${label}`), { recursive: true });
      for (let n = 0; n < 4; n++) {
        const data = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * (7 + n) + 90 * k) % 256);
        await sharp(data, { raw: { width: 64, height: 64, channels: 3 } })
          .png()
          .toFile(at(`photos/${split}/${label}/${n}.png`));
      }
    }
}, 600_000);

afterAll(() => {
  console.log(`${adapterName(getDevice().adapter)}\n\n${rows.join("\n")}\n`);
  rmSync(folder, { recursive: true, force: true });
});

const run = async (...args: string[]): Promise<void> => expect(await main(args), args.join(" ")).toBe(0);

const bits = (state: State) => Object.fromEntries([...state].map(([name, { data }]) => [name, Buffer.from(new Float32Array(data).buffer)]));

async function ours(model: Model, state: State, x: Float32Array): Promise<Float32Array> {
  const params = loadParams(model.name, model.params, state);
  const { logits } = scope(() => noGrad(() => model.forward(params, Tensor.from(x, [1, ...model.imageShape]))));
  const values = await logits.floats();
  for (const tensor of [logits, ...Object.values(params)]) tensor.dispose();
  return values;
}

interface Ort {
  readonly InferenceSession: {
    create(path: string, o: object): Promise<{ run(feeds: object): Promise<Record<string, { readonly data: Float32Array }>> }>;
  };
  readonly Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => object;
}

async function inOnnxruntime(path: string, x: Float32Array, shape: readonly number[]): Promise<Float32Array> {
  const ort = createRequire(join(process.cwd(), "bench/rivals/package.json"))("onnxruntime-node") as Ort;
  const session = await ort.InferenceSession.create(path, { logSeverityLevel: 3 });
  const out = await session.run({ pixel_values: new ort.Tensor("float32", x, [1, ...shape]) });
  return (out["logits"] ?? out["features"])!.data;
}

test("models lists every name", async () => {
  await run("models", "--json", at("models.json"));
  const listed = readFileSync(at("models.json"), "utf8");
  for (const name of modelNames) expect(listed).toContain(`"${name}"`);
});

test.each([...kinds])("%s", { timeout: 1_200_000 }, async (kind, names) => {
  const started = performance.now();
  const model = createModel(JSON.parse(kind) as Record<string, unknown>);
  const filled = fillState(model.params.map((s) => [s.name, s.shape]));
  const state: State = new Map(model.params.map((s) => [s.name, { shape: s.shape, data: filled.get(s.name)! }]));
  const file = at("model.safetensors");
  const headed = model.numClasses > 0;
  writeFileSync(file, writeWeights(state, { config: model.config, ...(headed ? { classes: CLASSES } : {}) }));

  const { config } = model;
  // Hugging Face has no class for timm's ResNet, and none for EVA-02.
  for (const naming of config.arch === "resnet" || (config.arch === "deit" && config.rope === "eva02") ? ["timm"] : ["timm", "hf"])
    for (const end of ["safetensors", "pth"]) {
      await run("convert", "--in", file, "--to", naming, "--out", at(`there.${end}`));
      await run("convert", "--in", at(`there.${end}`), "--to", "timm", "--out", at("back.safetensors"));
      expect(bits(readWeights(readFileSync(at("back.safetensors"))).state)).toEqual(bits(state));
    }

  await run("convert", "--in", file, "--to", "onnx", "--out", at("model.onnx"));
  const x = fillInput(model.imageShape.reduce((a, b) => a * b));
  const [expected, found] = [await ours(model, state, x), await inOnnxruntime(at("model.onnx"), x, model.imageShape)];
  expect(found.length).toBe(expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  const apart = Math.max(...expected.map((v, i) => Math.abs(v - found[i]!))) / largest;
  expect(apart).toBeLessThan(1e-4);

  const picture = at("photos/val/ash/0.png");
  await run("features", "--weights", file, picture, "--out", at("features.safetensors"));
  if (headed) await run("classify", "--weights", file, picture, "--topk", "2");
  const vision = await loadModel(new Uint8Array(readFileSync(file)));
  const { data: rgba, info } = await sharp(picture).ensureAlpha().raw().toBuffer({ resolveWithObject: true }); // Node decodes no files
  const image = { data: new Uint8ClampedArray(rgba), width: info.width, height: info.height, colorSpace: "srgb" } as ImageData;
  const data = await vision.features(image);
  expect(data.every(Number.isFinite)).toBe(true);
  if (headed) expect((await vision.classify(image)).map(({ label }) => label).sort()).toEqual(CLASSES);
  vision.dispose();

  const { numClasses: _, ...untold } = JSON.parse(kind) as Record<string, unknown>;
  const short = ["--epochs", "1", "--warmup-epochs", "0", "--batch-size", "4", "--repeats", "1", "--max-steps", "1"];
  const head = headed ? [] : ["--replace-head"];
  await run(
    ...["train", "--model", JSON.stringify(untold), "--data", at("photos"), "--weights", file, ...head, "--out", at("run"), "--overwrite"],
    ...short,
  );
  await run("eval", "--weights", at("run/model.safetensors"), "--data", at("photos"));
  rows.push(
    `| ${names.map((name) => `\`${name}\``).join(", ")} | ${apart.toExponential(1)} | ${((performance.now() - started) / 1000).toFixed(0)} s |`,
  );
});
