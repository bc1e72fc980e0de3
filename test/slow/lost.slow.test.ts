/** Lost devices at random moments of a fine-tuning: each run ends in the bits of an undisturbed one, without the app doing anything. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openNodeDevice } from "../../cli/node/adapter.ts";
import { launchBrowser } from "../../cli/node/chromium.ts";
import { getDevice } from "../../engine/device.ts";
import { Random } from "../../kernels/shared/random.ts";
import type { FineTuneOptions, VisionModel } from "../../tasks/api.ts";
import { loadModel } from "../../tasks/load-model.ts";
import { coloredExamples, tinyFile } from "../tasks/pictures.ts";
import { builtApp } from "./built-app.ts";
import { projectsFolder } from "./packed.ts";
import { serveFolder } from "./serve-folder.ts";

const MINUTE = 60_000;
const MOMENTS = 20;
const SEED = 4711;
const WAYS = ["all", "lora", "head", "attention"] as const;
const options = (train: (typeof WAYS)[number]): FineTuneOptions => ({
  train,
  epochs: train === "head" ? 200 : 12,
  batchSize: 8,
  learningRate: 3e-3,
  checkpointEvery: { steps: 3 },
});

/** Parts of an undisturbed run's time, from before its first step to its last. */
const moments = (): number[] => {
  const random = new Random(SEED, 0);
  return Array.from({ length: MOMENTS }, () => random.uniform(0, 0.95));
};

describe("destroyed from inside, in Node", () => {
  let base: VisionModel;
  const whole = new Map<string, { readonly file: Uint8Array; readonly ms: number }>();
  const examples = coloredExamples(10);

  async function tuned(train: (typeof WAYS)[number], destroyAfter?: number): Promise<{ file: Uint8Array; ms: number; lost: boolean }> {
    const began = performance.now();
    const device = getDevice();
    let done = false;
    const timer =
      destroyAfter === undefined
        ? undefined
        : setTimeout(() => {
            if (!done) device.gpu.destroy();
          }, destroyAfter);
    const { model, finished } = await base.fineTune(examples, options(train));
    done = true;
    clearTimeout(timer);
    const ms = performance.now() - began;
    expect(finished).toBe(true);
    const file = await model.save();
    model.dispose();
    return { file, ms, lost: device.lostError !== null };
  }

  beforeAll(async () => {
    base = await loadModel(tinyFile());
    for (const train of WAYS) {
      await tuned(train); // compiles
      whole.set(train, await tuned(train));
    }
  }, 30 * MINUTE);
  afterAll(() => openNodeDevice(process.env["TESSERA_ICD"]));

  test(`${MOMENTS} of ${MOMENTS} end in the same bits`, { timeout: 30 * MINUTE }, async () => {
    let hit = 0;
    for (const [i, part] of moments().entries()) {
      const train = WAYS[i % WAYS.length]!;
      const { file, ms } = whole.get(train)!;
      const through = await tuned(train, part * ms);
      expect(through.file, `${train}, destroyed at ${(100 * part).toFixed(0)} % of the run`).toEqual(file);
      hit += Number(through.lost);
    }
    console.log(`destroyed in Node, seed ${SEED}: ${MOMENTS} runs, ${hit} of them through a lost device, all in the same bits`);
    expect(hit).toBeGreaterThan(MOMENTS / 2); // a run may have ended before its moment, on a machine that was busy before
  });
});

/** A page that fine-tunes when asked, and says how far it is. */
const PAGE = `
import { loadModel } from "tessera-gpu";
const hex = async (bytes) => Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), (b) => b.toString(16).padStart(2, "0")).join("");
globalThis.state = { step: 0, file: null, error: null };
globalThis.begin = async (options, examples) => {
  const photos = examples.map(({ label, width, height, data }) => ({ label, image: new ImageData(new Uint8ClampedArray(data), width, height) }));
  try {
    const base = await loadModel("/tiny.safetensors");
    const { model } = await base.fineTune(photos, { ...options, onStep: ({ step }) => (state.step = step) });
    state.file = await hex(await model.save());
  } catch (error) {
    state.error = \`\${error.name}: \${error.message}\`;
  }
};
globalThis.ready = true;
`;

describe("GPU process ended, in Chromium", () => {
  const folder = projectsFolder();
  let server: Awaited<ReturnType<typeof serveFolder>>;
  const examples = coloredExamples(4).map(({ label, image }) => {
    const { width, height, data } = image as ImageData;
    return { label, width, height, data: [...data] };
  });

  beforeAll(async () => {
    const served = await builtApp(folder, PAGE);
    writeFileSync(join(served, "tiny.safetensors"), tinyFile());
    server = await serveFolder(served);
  }, 30 * MINUTE);
  afterAll(() => server?.close());

  interface State {
    readonly step: number;
    readonly file: string | null;
    readonly error: string | null;
  }

  /** Fine-tunes in a fresh browser, whose GPU process ends when `crashAt` (a step) has been reached. */
  async function tuned(crashAt: number | null): Promise<State & { crashed: boolean }> {
    const browser = await launchBrowser();
    try {
      const page = await browser.newPage();
      page.setDefaultTimeout(30 * MINUTE);
      await page.goto(server.url);
      await page.waitForFunction("globalThis.ready");
      await page.evaluate(
        (o, e) => void (globalThis as unknown as { begin(o: unknown, e: unknown): void }).begin(o, e),
        options("all"),
        examples,
      );
      const crashed = crashAt !== null && (await crashGpu(page, crashAt));
      await page.waitForFunction("state.file || state.error", { timeout: 30 * MINUTE });
      return { ...((await page.evaluate("state")) as State), crashed };
    } finally {
      await browser.close();
    }
  }

  async function crashGpu(page: Page, step: number): Promise<boolean> {
    await page.waitForFunction(`state.step >= ${step} || state.file || state.error`, { timeout: 30 * MINUTE, polling: 5 });
    if (await page.evaluate("state.file !== null")) return false;
    const browser = await page.browser().target().createCDPSession();
    await browser.send("Browser.crashGpuProcess");
    return true;
  }

  test(`${MOMENTS} of ${MOMENTS} end in the same bits`, { timeout: 60 * MINUTE }, async () => {
    const whole = await tuned(null);
    expect(whole.error).toBeNull();
    let hit = 0;
    for (const part of moments()) {
      const step = Math.round(part * whole.step);
      const { file, error, crashed } = await tuned(step);
      expect({ file, error }, `ended after step ${step} of ${whole.step}`).toEqual({ file: whole.file, error: null });
      hit += Number(crashed);
    }
    console.log(`GPU process ended in Chromium, seed ${SEED}: ${MOMENTS} runs, ${hit} of them through a lost device, all in the same bits`);
    expect(hit).toBeGreaterThan(MOMENTS / 2);
  });
});
