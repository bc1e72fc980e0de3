/**
 * `convert --to onnx` in the runtimes that it is for: models' logits in onnxruntime-node and in onnxruntime-web (a page, wasm) beside
 * this engine's, for one picture and for two; and the shipped teacher as transformers.js' image classifier. Installs the benchmark's rivals
 * (once) and transformers.js (into a temporary folder): needs the npm registry. Prints the table of RESULTS.md.
 */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Browser, Page } from "puppeteer-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installRivals } from "../../bench/rivals.ts";
import { main } from "../../cli/main.ts";
import { launchBrowser } from "../../cli/node/chromium.ts";
import { noGrad } from "../../engine/autograd.ts";
import { adapterName, getDevice } from "../../engine/device.ts";
import { scope } from "../../engine/memory.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { writeWeights } from "../../models/checkpoints/weights.ts";
import { createModel, type Model } from "../../models/model.ts";
import { loadParams, type State } from "../../models/params.ts";
import { loadModel } from "../../tasks/load-model.ts";
import { fillInput, fillState } from "../golden/fill.ts";

const MINUTE = 60_000;
const SMALL = { arch: "deit", imgSize: 32, patchSize: 4, dim: 96, depth: 6, heads: 3, numClasses: 10, distilled: true };
/** DINOv2's and its relatives' parts. */
const REGISTERS = { ...SMALL, distilled: false, layerScale: 0.1, regTokens: 4, posEmbedCls: false, qkvBias: false, eps: 1e-5 };
const MODELS = [
  ["small", SMALL, "f32"],
  ["deit_tiny_patch16_224", "deit_tiny_patch16_224", "f32"],
  ["deit_tiny_distilled_patch16_224", "deit_tiny_distilled_patch16_224", "f32"],
  ["deit_small_patch16_224", "deit_small_patch16_224", "f32"],
  ["regnety_002", "regnety_002", "f32"],
  ["small", SMALL, "f16"],
  ["deit_tiny_distilled_patch16_224", "deit_tiny_distilled_patch16_224", "f16"],
  ["regnety_002", "regnety_002", "f16"],
  ["registers", { ...REGISTERS, pool: "mean", fcNorm: true }, "f32"],
  ["class-and-mean", { ...REGISTERS, regTokens: 0, preNorm: true, pool: "both" }, "f32"],
  ["headless", { ...SMALL, numClasses: 0, distilled: false, finalNorm: false }, "f32"],
  ["dinov3", { ...REGISTERS, pool: "mean", rope: "dinov3", qkvBias: true, swiglu: "split" }, "f32"],
  ["dinov3", { ...REGISTERS, pool: "mean", rope: "dinov3" }, "f16"],
  ["eva02", { ...SMALL, distilled: false, pool: "mean", fcNorm: true, rope: "eva02", swiglu: "packed" }, "f32"],
] as const;
/** Of the largest logit. */
const TOLERANCE = { f32: 1e-4, f16: 1e-2 };

const folder = mkdtempSync(join(tmpdir(), "tessera-onnx-"));
const RIVALS = fileURLToPath(new URL("../../bench/rivals/", import.meta.url));
const rows: string[] = [];
let server: Server, browser: Browser, page: Page;
let versions: { node: string; web: string };

/** What is used of onnxruntime-node. */
interface Ort {
  readonly InferenceSession: {
    create(
      path: string,
      options: object,
    ): Promise<{ run(feeds: object): Promise<Record<string, { readonly data: Float32Array }>>; release(): Promise<void> }>;
  };
  readonly Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => object;
}
/** Outputs by name for x (B, C, S, S). */
type Outputs = Readonly<Record<string, readonly number[]>>;

const PAGE = `<!doctype html><title>onnx</title><link rel="icon" href="data:,"><script type="module">
import * as ort from "/ort/ort.wasm.min.mjs";
ort.env.wasm.wasmPaths = "/ort/";
ort.env.wasm.numThreads = 1;
globalThis.version = ort.env.versions.web;
globalThis.answer = async (file, input, batches, shape) => {
  const [bytes, x] = await Promise.all([file, input].map(async (path) => (await fetch(path)).arrayBuffer()));
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  const results = [];
  for (const B of batches) {
    const data = new Float32Array(x, 0, B * shape.reduce((a, b) => a * b));
    const out = await session.run({ pixel_values: new ort.Tensor("float32", data, [B, ...shape]) });
    results.push(Object.fromEntries(Object.entries(out).map(([name, t]) => [name, [...t.data]])));
  }
  await session.release();
  return results;
};
globalThis.ready = true;
</script>`;

beforeAll(async () => {
  await installRivals((message) => console.log(message));
  const ort = join(RIVALS, "node_modules/onnxruntime-web/dist");
  server = createServer((request, response) => {
    const path = new URL(request.url!, "http://page").pathname;
    const type =
      path === "/"
        ? "text/html"
        : path.endsWith(".mjs")
          ? "text/javascript"
          : path.endsWith(".wasm")
            ? "application/wasm"
            : "application/octet-stream";
    const body = path === "/" ? PAGE : readFileSync(path.startsWith("/ort/") ? join(ort, path.slice(5)) : join(folder, path));
    response.writeHead(200, { "content-type": type }).end(body);
  }).listen(0, "127.0.0.1");
  browser = await launchBrowser();
  page = await browser.newPage();
  page.on("pageerror", (error) => console.error("page:", error));
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  await page.waitForFunction("globalThis.ready", { timeout: MINUTE });
  const { version } = createRequire(join(RIVALS, "package.json"))("onnxruntime-node/package.json") as { version: string };
  versions = { node: version, web: (await page.evaluate("version")) as string };
}, 10 * MINUTE);

afterAll(async () => {
  console.log(
    `onnxruntime-node ${versions?.node}, onnxruntime-web ${versions?.web}, ours on ${adapterName(getDevice().adapter)}\n\n${rows.join("\n")}\n`,
  );
  await browser?.close();
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Largest difference as a share of the largest expected value. */
function apart(got: readonly number[], expected: ArrayLike<number>): number {
  const largest = Array.from(expected).reduce((a, v) => Math.max(a, Math.abs(v)), 0);
  expect(got.length).toBe(expected.length);
  return got.reduce((worst, v, i) => Math.max(worst, Math.abs(v - expected[i]!)), 0) / largest;
}

/** What this engine answers to two pictures. */
async function ours(model: Model, state: State, x: Float32Array): Promise<Record<string, Float32Array>> {
  const params = loadParams(model.name, model.params, state);
  const { logits, logitsCls, logitsDist } = scope(() => noGrad(() => model.forward(params, Tensor.from(x, [2, ...model.imageShape]))));
  const named = logitsDist
    ? { logits, logits_cls: logitsCls, logits_dist: logitsDist }
    : { [model.numClasses > 0 ? "logits" : "features"]: logits };
  const values = await readAll(Object.values(named));
  for (const t of [...Object.values(params), ...Object.values(named)]) t.dispose();
  return Object.fromEntries(Object.keys(named).map((name, i) => [name, values[i] as Float32Array]));
}

async function inNode(path: string, x: Float32Array, shape: readonly number[]): Promise<Outputs[]> {
  const ort = createRequire(join(RIVALS, "package.json"))("onnxruntime-node") as Ort;
  const session = await ort.InferenceSession.create(path, { executionProviders: ["cpu"], logSeverityLevel: 3 });
  const results: Outputs[] = [];
  for (const B of [2, 1]) {
    const data = x.slice(0, B * shape.reduce((a, b) => a * b));
    const out = await session.run({ pixel_values: new ort.Tensor("float32", data, [B, ...shape]) });
    results.push(Object.fromEntries(Object.entries(out).map(([name, t]) => [name, [...t.data]])));
  }
  await session.release();
  return results;
}

describe("logits as this engine's", () => {
  test.each(MODELS)("%s %#", { timeout: 10 * MINUTE }, async (name, what, dtype) => {
    const model = createModel(what);
    const values = fillState(model.params.map((s) => [s.name, s.shape]));
    const state = new Map(model.params.map((s) => [s.name, { shape: s.shape, data: values.get(s.name)! }]));
    const [weights, file] = [join(folder, `${name}.safetensors`), join(folder, `${name}-${dtype}.onnx`)];
    writeFileSync(weights, writeWeights(state, { config: model.config }));
    expect(await main(["convert", "--in", weights, "--to", "onnx", "--dtype", dtype, "--out", file])).toBe(0);
    const shape = [...model.imageShape];
    const x = fillInput(2 * shape.reduce((a, b) => a * b));
    writeFileSync(join(folder, "x"), new Uint8Array(x.buffer));
    const expected = await ours(model, state, x);
    const found = {
      node: await inNode(file, x, shape),
      web: (await page.evaluate(`answer("/${name}-${dtype}.onnx", "/x", [2, 1], ${JSON.stringify(shape)})`)) as Outputs[],
    };
    const worst = { node: 0, web: 0 };
    for (const [where, [two, one]] of Object.entries(found) as ["node" | "web", Outputs[]][]) {
      expect(Object.keys(two!)).toEqual(Object.keys(expected));
      for (const [output, all] of Object.entries(expected)) {
        worst[where] = Math.max(worst[where], apart(two![output]!, all), apart(one![output]!, all.subarray(0, all.length / 2)));
      }
    }
    const cells = [
      `\`${name}\``,
      dtype,
      `${(statSync(file).size / 1e6).toFixed(1)} MB`,
      worst.node.toExponential(1),
      worst.web.toExponential(1),
    ];
    rows.push(`| ${cells.join(" | ")} |`);
    expect(worst.node).toBeLessThan(TOLERANCE[dtype]);
    expect(worst.web).toBeLessThan(TOLERANCE[dtype]);
  });
});

test("transformers.js: the shipped teacher with its labels, and our probabilities", { timeout: 10 * MINUTE }, async () => {
  const run = promisify(execFile);
  const installed = join(folder, "transformers-js");
  mkdirSync(installed);
  writeFileSync(join(installed, "package.json"), JSON.stringify({ private: true }));
  await run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "@huggingface/transformers@4"], {
    cwd: installed,
  });
  const teacher = fileURLToPath(new URL("../../app/data/teacher/regnety-cifar10.safetensors", import.meta.url));
  const pictures = readFileSync(new URL("../../app/data/cifar10/test.bin", import.meta.url));
  const seen = [0, 1, 2].map((i) => imageOf(pictures.subarray(3073 * i + 1, 3073 * (i + 1))));
  const paths = seen.map((_, i) => join(folder, `${i}.png`));
  for (const [i, { data, width, height }] of seen.entries())
    await sharp(data, { raw: { width, height, channels: 4 } })
      .png()
      .toFile(paths[i]!);
  const model = await loadModel(readFileSync(teacher));
  for (const dtype of ["f32", "f16"] as const) {
    const out = join(folder, `teacher-${dtype}`);
    expect(await main(["convert", "--in", teacher, "--to", "onnx", "--dtype", dtype, "--out", out])).toBe(0);
    const { stdout } = await run(process.execPath, [fileURLToPath(new URL("onnx-child.mjs", import.meta.url)), installed, out, ...paths]);
    const { version, answers } = JSON.parse(stdout) as { version: string; answers: { label: string; score: number }[][] };
    for (const [i, image] of seen.entries()) {
      const expected = await model.classify(image);
      console.log(
        `transformers.js ${version}, ${dtype}: ${answers[i]!.map(({ label, score }) => `${label} ${score.toFixed(5)}`).join(", ")}`,
      );
      expect(answers[i]!.map(({ label }) => label)).toEqual(expected.map(({ label }) => label));
      for (const [k, { score }] of answers[i]!.entries()) expect(Math.abs(score - expected[k]!.probability)).toBeLessThan(TOLERANCE[dtype]);
    }
  }
  model.dispose();
});

/** A picture of CIFAR-10, (3, 32, 32). */
const imageOf = (planes: Uint8Array): ImageData => {
  const data = Uint8ClampedArray.from({ length: 4096 }, (_, i) => (i % 4 === 3 ? 255 : planes[(i % 4) * 1024 + Math.floor(i / 4)]!));
  return { width: 32, height: 32, data, colorSpace: "srgb" } as ImageData;
};
