/** What a page downloads to train or run a model with each library: the smallest app that does, built by Vite. Node only. */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build, type Rolldown } from "vite";
import { HOME } from "./rivals.ts";

export interface Size {
  readonly does: string;
  readonly raw: number;
  readonly gzip: number;
  readonly brotli: number;
  /** Of `gzip`, what is there before the app's first line runs. */
  readonly atOnce: number;
  /** The files by extension, in bytes as they are. */
  readonly files: Readonly<Record<string, number>>;
}

const root = fileURLToPath(new URL("..", import.meta.url));

const TFJS =
  "setBackend, tensor, variable, tidy, variableGrads, fused, reshape, transpose, concat, tile, add, sub, mul, mean, square, rsqrt, erf, softmax, logSoftmax, matMul, unstack, slice, sum, neg, oneHot, argMax, AdamOptimizer";

/** Apps as source; each holds on to what it needs, so that nothing else is bundled and nothing of it is dropped. */
const APPS: Readonly<Record<string, { readonly does: string; readonly source: string }>> = {
  ours: {
    does: "trains: DeiT, distillation, AdamW; the loop is the app's to write",
    source: `
      import { gradients } from "ROOT/engine/autograd.ts";
      import { initDevice } from "ROOT/engine/device.ts";
      import { record } from "ROOT/engine/plan.ts";
      import { place } from "ROOT/kernels/shared/place.ts";
      import { Scalars } from "ROOT/kernels/shared/scalars.ts";
      import { Tensor } from "ROOT/engine/tensor.ts";
      import { adamwStep } from "ROOT/kernels/optim/adamw.ts";
      import { deit, deitParams } from "ROOT/models/deit.ts";
      import { deitConfig } from "ROOT/models/deit-names.ts";
      import { initialState, ParameterStore } from "ROOT/models/params.ts";
      import { distillationLoss } from "ROOT/train/loss.ts";
      globalThis.app = { gradients, initDevice, place, record, Scalars, Tensor, adamwStep, deit, deitConfig, deitParams, initialState, ParameterStore, distillationLoss };`,
  },
  "ours, whole recipe": {
    does: "trains: DeiT and RegNetY, augmentation, schedule, the loop, checkpoints",
    source: `
      import { initDevice } from "ROOT/engine/device.ts";
      import { createModel } from "ROOT/models/model.ts";
      import { train } from "ROOT/train/train.ts";
      globalThis.app = { initDevice, createModel, train };`,
  },
  "ours, inference": {
    does: "runs DeiT",
    source: `
      import { initDevice } from "ROOT/engine/device.ts";
      import { record } from "ROOT/engine/plan.ts";
      import { deit, deitParams } from "ROOT/models/deit.ts";
      import { deitConfig } from "ROOT/models/deit-names.ts";
      import { loadParams } from "ROOT/models/params.ts";
      import { parseSafetensors } from "ROOT/models/checkpoints/safetensors.ts";
      globalThis.app = { initDevice, record, deit, deitConfig, deitParams, loadParams, parseSafetensors };`,
  },
  "ours, two lines that classify": {
    does: "loads a model, classifies pictures of any kind",
    source: `
      import { loadModel } from "ROOT/tasks/load-model.ts";
      const model = await loadModel("/deit.safetensors", { model: "deit_tiny_distilled_patch16_224" });
      console.log(await model.classify("/photo.png"));`,
  },
  "ours, fine-tuner": {
    does: "teaches a model its own classes, keeps the run and the result",
    source: `
      import { loadModel } from "ROOT/tasks/load-model.ts";
      import { opfs } from "ROOT/tasks/stores.ts";
      const base = await loadModel("/deit.safetensors", { model: "deit_tiny_distilled_patch16_224" });
      const { model } = await base.fineTune([{ image: "/a.png", label: "a" }, { image: "/b.png", label: "b" }], { checkpoint: opfs("run") });
      await opfs("mine").set(await model.save());`,
  },
  "ours, engine only": {
    does: "kernels, tensors, plans and gradients; operations are the app's to write",
    source: `
      import { gradients } from "ROOT/engine/autograd.ts";
      import { initDevice } from "ROOT/engine/device.ts";
      import { defineKernel } from "ROOT/engine/kernel.ts";
      import { record } from "ROOT/engine/plan.ts";
      import { Tensor } from "ROOT/engine/tensor.ts";
      globalThis.app = { defineKernel, gradients, initDevice, record, Tensor };`,
  },
  tfjs: {
    does: "trains on WebGPU: core with all gradients, Adam; the model is the app's to write",
    source: `
      import { NAMES } from "@tensorflow/tfjs-core";
      import "@tensorflow/tfjs-core/dist/register_all_gradients";
      import "@tensorflow/tfjs-backend-webgpu";
      globalThis.app = { NAMES };`.replaceAll("NAMES", TFJS),
  },
  ort: {
    does: "runs an ONNX file on WebGPU; it cannot train",
    source: `
      import { InferenceSession, Tensor } from "onnxruntime-web/webgpu";
      globalThis.app = { InferenceSession, Tensor };`,
  },
  "transformers.js": {
    does: "loads an ONNX model by its folder, classifies pictures; on ONNX Runtime Web",
    source: `
      import { pipeline } from "@huggingface/transformers";
      const classify = await pipeline("image-classification", "/deit", { device: "webgpu" });
      console.log(await classify("/photo.png"));`,
  },
};

/** Builds each app beside the rivals' libraries, which have to be installed, and weighs what came out. */
export async function bundleSizes(): Promise<Record<string, Size | { readonly error: string }>> {
  const folder = join(HOME, "node_modules/.size");
  await rm(folder, { recursive: true, force: true });
  const sizes: Record<string, Size | { readonly error: string }> = {};
  for (const [name, { does, source }] of Object.entries(APPS)) {
    try {
      const app = join(folder, name.replace(/\W+/g, "-"));
      await mkdir(app, { recursive: true });
      await writeFile(join(app, "index.html"), `<!doctype html><script type="module" src="./main.ts"></script>`);
      await writeFile(join(app, "main.ts"), source.replaceAll(/"ROOT\/(.*)\.ts"/g, `"${root}$1${import.meta.url.slice(-3)}"`));
      const built = await build({
        configFile: false,
        root: app,
        logLevel: "error",
        build: { target: "esnext", outDir: "dist", assetsInlineLimit: 0, modulePreload: false },
      });
      sizes[name] = { does, ...(await weigh(join(app, "dist"), firstFiles(built as Rolldown.RolldownOutput))) };
    } catch (error) {
      sizes[name] = { error: (error as Error).message.split("\n")[0]! };
    }
  }
  await rm(folder, { recursive: true, force: true });
  return sizes;
}

/** The page's own module and all that it imports, and so on. */
function firstFiles({ output }: Rolldown.RolldownOutput): ReadonlySet<string> {
  const chunks = new Map(output.filter((file) => file.type === "chunk").map((chunk) => [chunk.fileName, chunk]));
  const first = new Set([...chunks.values()].filter(({ isEntry }) => isEntry).map(({ fileName }) => fileName));
  for (const name of first) for (const imported of chunks.get(name)?.imports ?? []) first.add(imported);
  return first;
}

async function weigh(folder: string, first: ReadonlySet<string>): Promise<Omit<Size, "does">> {
  const total = { raw: 0, gzip: 0, brotli: 0, atOnce: 0 };
  const files: Record<string, number> = {};
  for (const file of await readdir(join(folder, "assets"))) {
    const bytes = await readFile(join(folder, "assets", file));
    const extension = file.split(".").at(-1)!;
    files[extension] = (files[extension] ?? 0) + bytes.length;
    total.raw += bytes.length;
    const gzip = gzipSync(bytes, { level: 9 }).length;
    total.gzip += gzip;
    if (first.has(`assets/${file}`)) total.atOnce += gzip;
    // Its best level takes minutes for a large wasm file and gains a percent.
    total.brotli += brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: bytes.length > 3e6 ? 6 : 11 } }).length;
  }
  return { ...total, files };
}
