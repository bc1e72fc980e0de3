/**
 * The library as its users get it: built, laid out as an installed package beside a Vite project, bundled, and run in headless
 * Chromium. The guides' example runs as it is printed there.
 */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import type { Browser } from "puppeteer-core";
import { preview, type PreviewServer } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launchBrowser } from "../../cli/node/chromium.ts";

const PATIENCE = 180_000;
const GUIDE_LOSS = 0.5; // ln 3 = 1.10 before the first step
const MOST_BYTES = 60_000; // of the guide's page, gzipped

const INDEX = `<!doctype html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,"><title>page</title></head>
<body><pre></pre><script type="module" src="/main.ts"></script></body></html>`;

/** A project's own code: two small models, twenty steps each; the losses of every step. */
const TRAIN = `
import { gradients } from "tessera-gpu/engine/autograd";
import { initDevice } from "tessera-gpu/engine/device";
import { record } from "tessera-gpu/engine/plan";
import { place } from "tessera-gpu/kernels/shared/place";
import { Random } from "tessera-gpu/kernels/shared/random";
import { constant, Scalars } from "tessera-gpu/kernels/shared/scalars";
import { Tensor } from "tessera-gpu/engine/tensor";
import { adamwStep } from "tessera-gpu/kernels/optim/adamw";
import { crossEntropy } from "tessera-gpu/kernels/cross-entropy";
import { linear } from "tessera-gpu/kernels/linear";
import { sgdStep } from "tessera-gpu/kernels/optim/sgd";
import { deit, deitParams } from "tessera-gpu/models/deit";
import { DEIT, type DeitConfig } from "tessera-gpu/models/deit-config";
import { initialState, ParameterStore } from "tessera-gpu/models/params";

const STEPS = 20;
const B = 6, K = 3;

export async function train(): Promise<{ linear: number[]; deit: number[] }> {
  await initDevice();
  return { linear: await trainLinear(), deit: await trainDeit() };
}

function batch(shape: readonly number[]): { x: Tensor; labels: Tensor } {
  const random = new Random(1);
  const size = shape.reduce((a, b) => a * b);
  const x = Tensor.from(Float32Array.from({ length: size }, () => random.uniform(-1, 1)), shape);
  return { x, labels: Tensor.from(Array.from({ length: B }, (_, i) => i % K), [B], "u32") };
}

async function trainLinear(): Promise<number[]> {
  const { x, labels } = batch([B, 8]);
  const [params, grads, momentum] = [Tensor.zeros([K * 8]), Tensor.zeros([K * 8]), Tensor.zeros([K * 8])];
  const weight = params.view([K, 8]);
  weight.requiresGrad = true;
  const lr = constant(0.2);
  const step = await record(() => {
    const loss = crossEntropy(linear(x, weight), labels);
    place(gradients(loss, [weight])[0]!, grads.view([K, 8]));
    sgdStep({ params, grads, momentum }, { lr, momentum: 0.9, decayed: 0, weightDecay: 0 });
    return loss;
  });
  const losses: number[] = [];
  for (let t = 1; t <= STEPS; t++) {
    step.run();
    losses.push(await step.result.item());
  }
  return losses;
}

async function trainDeit(): Promise<number[]> {
  const config: DeitConfig = { ...DEIT, imgSize: 8, patchSize: 4, dim: 16, depth: 1, heads: 2, mlpRatio: 2, numClasses: K, distilled: true };
  const { x, labels } = batch([B, 3, 8, 8]);
  const specs = deitParams(config);
  const store = new ParameterStore("page", specs, initialState(specs, 0));
  const [m, v] = [store.layout.zeros(), store.layout.zeros()];
  const scalars = new Scalars({ lr: "f32", bias1: "f32", bias2: "f32" });
  const step = await record(() => {
    const loss = crossEntropy(deit(store.tensors, x, config).logits, labels);
    const targets = store.gradTargets;
    gradients(loss, store.trained).forEach((grad, i) => place(grad, targets[i]!));
    const rates = { lr: scalars.at("lr"), bias1: scalars.at("bias1"), bias2: scalars.at("bias2"), weightDecay: 0.05 };
    store.flat.forEach((params, i) =>
      adamwStep({ params, grads: store.grads[i]!, m: m[i]!, v: v[i]! }, { ...rates, decayed: store.decayed[i]! }),
    );
    return loss;
  });
  const losses: number[] = [];
  for (let t = 1; t <= STEPS; t++) {
    scalars.set({ lr: 0.01, bias1: 1 - 0.9 ** t, bias2: 1 - 0.999 ** t });
    step.run();
    losses.push(await step.result.item());
  }
  return losses;
}
`;

const MAIN = `
import { train } from "./train.ts";

function trainInWorker(): Promise<unknown> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    worker.onmessage = (event) => resolve(event.data);
    worker.onerror = (event) => reject(new Error(\`worker: \${event.message}\`));
  });
}

const results = { page: await train(), worker: await trainInWorker() };
document.querySelector("pre")!.textContent = JSON.stringify(results);
`;

// A module that fails while it loads reaches the page as an error event; a promise that fails would not.
const WORKER = `
import { train } from "./train.ts";

self.postMessage(await train());
`;

const TSCONFIG = {
  compilerOptions: {
    target: "ES2023",
    module: "ESNext",
    moduleResolution: "bundler",
    lib: ["ES2023", "DOM", "DOM.Iterable"],
    types: ["@webgpu/types"],
    strict: true,
    noUnusedLocals: true,
    verbatimModuleSyntax: true,
    allowImportingTsExtensions: true,
    noEmit: true,
    skipLibCheck: false,
  },
  include: ["*/*.ts"],
};

const require = createRequire(import.meta.url);
const installed = (name: string): string => dirname(require.resolve(`${name}/package.json`));
const repository = fileURLToPath(new URL("../..", import.meta.url));

/** Runs a package's program on this Node, as a user would from a shell. Rejects with what it printed. */
async function program(cwd: string, path: string, args: readonly string[]): Promise<void> {
  const { NODE_ENV: _, VITEST: __, ...env } = process.env;
  try {
    await promisify(execFile)(process.execPath, [path, ...args], { cwd, env });
  } catch (error) {
    const { message, stdout, stderr } = error as Error & { stdout: string; stderr: string };
    throw new Error([message, stdout, stderr].join("\n"));
  }
}

const tsc = (cwd: string, args: readonly string[]) => program(cwd, join(installed("typescript"), "bin/tsc"), args);
const viteBuild = (root: string) => program(root, join(installed("vite"), "bin/vite.js"), ["build"]);

/** The first block of TypeScript of a guide. */
async function guideExample(name: string): Promise<string> {
  const guide = await readFile(join(repository, "app/site/guides", name), "utf8");
  const code = /```ts\n([^]*?)^```/m.exec(guide)?.[1];
  if (!code) throw new Error(`${name}: expected a block of TypeScript, got none`);
  return code;
}

/** Bytes of each script that a build made, gzipped. */
async function gzippedScripts(root: string): Promise<Record<string, number>> {
  const assets = join(root, "dist/assets");
  const scripts = (await readdir(assets)).filter((name) => name.endsWith(".js"));
  return Object.fromEntries(await Promise.all(scripts.map(async (name) => [name, gzipSync(await readFile(join(assets, name))).length])));
}

describe("a Vite project that installed the library", { timeout: PATIENCE }, () => {
  let folder: string;
  let browser: Browser | undefined;
  const servers: PreviewServer[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "vite-page-"));
    const library = join(folder, "node_modules/tessera-gpu");
    const write = async (path: string, text: string) => {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), text);
    };
    await write("package.json", JSON.stringify({ private: true, type: "module" }));
    await write("tsconfig.json", JSON.stringify(TSCONFIG));
    await write("guide/index.html", INDEX);
    await write("guide/main.ts", await guideExample("04-train-a-layer.md"));
    await write("workers/index.html", INDEX);
    await write("workers/main.ts", MAIN);
    await write("workers/train.ts", TRAIN);
    await write("workers/worker.ts", WORKER);
    await write("workers/vite.config.js", `export default { worker: { format: "es" } };`);
    // The library as it is published, and what it depends on.
    await mkdir(library, { recursive: true });
    await cp(join(repository, "package.json"), join(library, "package.json"));
    for (const name of ["@webgpu/types", "comlink", "zod"])
      await cp(join(repository, "node_modules", name), join(folder, "node_modules", name), { recursive: true });
    await promisify(execFile)(process.execPath, [join(repository, "build.mjs"), "library", join(library, "dist")]);
    browser = await launchBrowser();
  }, PATIENCE);

  afterAll(async () => {
    await browser?.close();
    await Promise.all(servers.map((server) => server.close()));
    await rm(folder, { recursive: true, force: true });
  });

  /** Builds a project, serves what came of it, and opens it. `printed` is what the page logs first; `failed` rejects if it throws. */
  async function open(name: string) {
    const root = join(folder, name);
    await viteBuild(root);
    const server = await preview({ root, configFile: false, logLevel: "warn", preview: { host: "127.0.0.1", port: 0 } });
    servers.push(server);
    const page = await browser!.newPage();
    const problems: string[] = [];
    const failed = new Promise<never>((_, reject) => page.on("pageerror", reject));
    failed.catch(() => undefined); // the page may fail before anyone waits
    const printed = new Promise<string>((resolve) => {
      page.on("console", (message) =>
        message.type() === "log" ? resolve(message.text()) : problems.push(`${message.type()}: ${message.text()}`),
      );
    });
    await page.goto(server.resolvedUrls!.local[0]!, { timeout: PATIENCE });
    return { page, problems, printed, failed };
  }

  test("type-checks, with the library's declarations", () => tsc(folder, ["-p", "."]));

  test("the guide's example trains, and is small", async () => {
    const { page, problems, printed, failed } = await open("guide");
    const loss = Number(await Promise.race([printed, failed]));
    const sizes = Object.values(await gzippedScripts(join(folder, "guide")));
    const bytes = sizes.reduce((a, b) => a + b);
    console.log(`a guide's example in a Vite page: loss ${loss} after its steps; ${bytes} bytes of script, gzipped`);
    expect(problems).toEqual([]);
    expect(loss).toBeGreaterThan(0);
    expect(loss).toBeLessThan(GUIDE_LOSS);
    expect(bytes).toBeLessThan(MOST_BYTES);
    await page.close();
  });

  test("a page and its worker train a linear layer and a DeiT to the same bits", async () => {
    const { page, problems, failed } = await open("workers");
    await Promise.race([page.waitForFunction(() => document.querySelector("pre")!.textContent !== "", { timeout: PATIENCE }), failed]);
    const text = await page.$eval("pre", (pre) => pre.textContent);
    const results = JSON.parse(text!) as Record<"page" | "worker", Record<"linear" | "deit", number[]>>;
    console.log(
      `linear ${results.page.linear.at(0)} -> ${results.page.linear.at(-1)}, DeiT ${results.page.deit.at(0)} -> ${results.page.deit.at(-1)}; gzipped: ${JSON.stringify(await gzippedScripts(join(folder, "workers")))}`,
    );
    expect(problems).toEqual([]);
    for (const losses of Object.values(results.page)) {
      expect(losses).toHaveLength(20);
      expect(losses[0]).toBeCloseTo(Math.log(3), 1);
      expect(losses.at(-1)).toBeLessThan(0.5 * losses[0]!);
    }
    expect(results.worker).toEqual(results.page);
    await page.close();
  });
});
