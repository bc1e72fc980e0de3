/**
 * The library in a page: built, served, and driven in headless Chromium through the app that it is made for. Classes are taught from files,
 * stopped half-way, gone on with after a reload to the same bits, saved, loaded, and pictures of every kind are classified alike.
 */
import { readFile, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "puppeteer-core";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchBrowser } from "../../cli/node/chromium.ts";
import { tinyFile } from "../tasks/pictures.ts";

const PATIENCE = 300_000; // a busy machine may take its time

/** Twelve lines at most between these two, as an app has them. */
const APP = `
const base = await loadModel("/tiny.safetensors", { onProgress });
const [best] = await base.classify(canvas);
const { model, finished } = await base.fineTune(photos, { train: "all", epochs: 4, learningRate: 3e-3, signal: stop.signal, checkpoint: opfs("run"), onStep: (m) => show(m) });
if (finished) await opfs("mine").set(await model.save());
`;

const PAGE = `<!doctype html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,"><title>library</title></head><body>
<script type="module">
import { getDevice, indexedDb, initDevice, loadModel, opfs, StoreError } from "/library/tessera.js";
import { loadModelInWorker } from "/library/worker.js";

const draw = (color, i) => {
  const canvas = new OffscreenCanvas(20 + (i % 5), 24);
  const context = canvas.getContext("2d");
  context.fillStyle = color;
  context.fillRect(0, 0, 30, 30);
  context.fillStyle = "rgba(255,255,255,0.4)";
  context.fillRect(i, 3, 6, 9);
  return canvas;
};
const photos = [];
for (const [label, color] of [["red", "#d33"], ["green", "#3c4"], ["blue", "#46e"]])
  for (let i = 0; i < 10; i++) photos.push({ label, image: new File([await draw(color, i).convertToBlob()], label + i + ".png") });

const hex = async (bytes) => Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), (b) => b.toString(16).padStart(2, "0")).join("");

/** Runs the app; stops after step \`stopAt\`. */
globalThis.app = async (stopAt) => {
  const stop = new AbortController();
  const canvas = draw("#d33", 3);
  const phases = new Set();
  const onProgress = ({ phase }) => phases.add(phase);
  const steps = [];
  const show = (m) => { steps.push(m.step); if (m.step === stopAt) stop.abort(); };
  ${APP}
  return { finished, steps, best, phases: [...phases], kept: (await opfs("run").get()) !== null, file: finished ? await hex(await opfs("mine").get()) : null };
};

/** The saved model's answer for one picture in every form. */
globalThis.kinds = async () => {
  const model = await loadModel(await opfs("mine").get());
  const file = photos[3].image;
  const img = new Image();
  img.src = URL.createObjectURL(file);
  await img.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
  const context = canvas.getContext("2d");
  context.drawImage(img, 0, 0);
  const frame = new VideoFrame(canvas, { timestamp: 0 });
  const forms = { file, url: img.src, img, canvas, bitmap: await createImageBitmap(file), pixels: context.getImageData(0, 0, canvas.width, canvas.height), frame };
  const answers = {};
  for (const [name, form] of Object.entries(forms)) answers[name] = await model.classify(form);
  answers.list = await model.classify(Object.values(forms));
  const video = document.createElement("video");
  video.muted = true;
  video.srcObject = canvas.captureStream(30);
  const timer = setInterval(() => context.drawImage(img, 0, 0), 30); // a stream shows what is drawn while it runs
  await video.play();
  answers.video = await model.classify(video);
  clearInterval(timer);
  const { side, weights } = await model.attention(canvas);

  const { stats } = getDevice();
  const before = [stats.bytesLive, stats.tensorsLive];
  for (let i = 0; i < 50; i++) await model.classify(canvas);
  return { answers, attention: [side, weights.length], before, after: [stats.bytesLive, stats.tensorsLive] };
};

/** The same in workers: answers, a run with a stop, errors, and tabs that share. */
globalThis.inWorker = async () => {
  const here = await loadModel("/tiny.safetensors");
  const phases = new Set();
  const there = await loadModelInWorker("/tiny.safetensors", { onProgress: ({ phase }) => phases.add(phase) });
  const canvas = draw("#d33", 3);
  const file = photos[0].image;
  const same = [];
  for (const image of [canvas, file, await createImageBitmap(file), URL.createObjectURL(file)])
    same.push(JSON.stringify(await here.classify(image)) === JSON.stringify(await there.classify(image)));
  same.push(JSON.stringify(await here.attention(file)) === JSON.stringify(await there.attention(file)));
  const options = { epochs: 12, checkpointEvery: { steps: 4 } };
  const whole = await here.fineTune(photos, options);
  const stop = new AbortController();
  const steps = [];
  const half = await there.fineTune(photos, { ...options, epochs: 12, checkpoint: opfs("worker"), signal: stop.signal, onStep: ({ step }) => { steps.push(step); if (step === 5) stop.abort(); } });
  const kept = (await opfs("worker").get()) !== null;
  const rest = await there.fineTune(photos, { ...options, checkpoint: opfs("worker") });
  const files = [await hex(await whole.model.save()), await hex(await rest.model.save())];
  const error = await there.classify(new Blob(["no picture"])).catch((e) => e);
  const full = { get: async () => null, set: async () => { throw new Error("no room"); }, delete: async () => undefined };
  const unsaved = await there.fineTune(photos, { ...options, checkpoint: full }).catch((e) => e);
  const onward = await there.fineTune(photos, { ...options, checkpoint: { ...full, get: async () => unsaved.checkpoint, set: async () => undefined } });
  const goneOn = (await hex(await onward.model.save())) === files[1];
  const stop2 = new AbortController();
  const stopped = there.classify(photos.map(({ image }) => image), { signal: stop2.signal }).catch((e) => e === stop2.signal.reason);
  stop2.abort();
  const shared = await Promise.all([1, 2].map(() => loadModelInWorker("/tiny.safetensors", { shared: true })));
  const together = await Promise.all(shared.map((m) => m.classify(file)));
  const result = { unsaved: unsaved instanceof StoreError, goneOn, stopped: await stopped, phases: [...phases], same, half: half.finished, kept, finished: rest.finished, files, error: [error.name, error.message],
    shared: together.map((answer) => JSON.stringify(answer) === JSON.stringify(together[0])), labels: there.labels };
  for (const m of [...shared, there, half.model, rest.model, onward.model]) m.dispose();
  return result;
};

/** What a store does with two files in turn, and with none. */
globalThis.stores = async () => {
  const [a, b] = [new Uint8Array(100_000).fill(7), Uint8Array.of(1, 2, 3)];
  const seen = {};
  for (const store of [opfs, indexedDb]) {
    const [mine, other] = [store("mine too"), store("another")];
    const steps = [await mine.get()];
    await mine.set(a);
    await mine.set(b);
    steps.push([...(await mine.get())], await other.get());
    await mine.delete();
    await other.delete();
    steps.push(await mine.get());
    seen[store.name] = steps;
  }
  return seen;
};

globalThis.once = async () => {
  const [a, b] = await Promise.all([initDevice(), initDevice()]);
  return a === b;
};
globalThis.ready = true;
</script></body></html>`;

let folder: string, browser: Browser, page: Page, server: Server;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "library-"));
  await build({
    configFile: false,
    logLevel: "error",
    base: "./",
    worker: { format: "es" },
    root: fileURLToPath(new URL("../..", import.meta.url)),
    build: {
      outDir: folder,
      emptyOutDir: true,
      minify: false,
      lib: { entry: { tessera: "index.ts", worker: "tasks/worker.ts" }, formats: ["es"], fileName: (_, name) => `${name}.js` },
    },
  });
  server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url!, "http://page").pathname);
    try {
      const [type, body] =
        path === "/"
          ? ["text/html", PAGE]
          : path === "/tiny.safetensors"
            ? ["application/octet-stream", tinyFile()]
            : ["text/javascript", await readFile(join(folder, path.replace(/^\/library\//, "")))];
      response.writeHead(200, { "content-type": type });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  }).listen(0, "127.0.0.1");
  browser = await launchBrowser();
  page = await browser.newPage();
  page.on("pageerror", (error) => console.error("page:", error));
}, PATIENCE);

afterAll(async () => {
  await browser?.close();
  server?.close();
  await rm(folder, { recursive: true, force: true });
});

async function open(): Promise<void> {
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  await page.waitForFunction("globalThis.ready", { timeout: PATIENCE });
}

interface Run {
  finished: boolean;
  steps: number[];
  best: { label: string };
  phases: string[];
  kept: boolean;
  file: string | null;
}
const run = (stopAt: number): Promise<Run> => page.evaluate(`app(${stopAt})`) as Promise<Run>;

test("an app of a dozen lines: stopped, reloaded and gone on with, a run ends in the bits of an unbroken one", {
  timeout: PATIENCE,
}, async () => {
  expect(APP.trim().split("\n").length).toBeLessThanOrEqual(12);
  await open();
  expect(await page.evaluate("once()")).toBe(true);
  const whole = await run(0);
  expect(whole).toMatchObject({ finished: true, steps: [1, 2, 3, 4, 5, 6, 7, 8], kept: false });
  expect(whole.phases).toEqual(expect.arrayContaining(["download", "upload", "compile"]));
  const half = await run(4);
  expect(half).toMatchObject({ finished: false, steps: [1, 2, 3, 4], kept: true });
  await open();
  const rest = await run(0);
  expect(rest).toMatchObject({ finished: true, steps: [5, 6, 7, 8], kept: false });
  expect(rest.file).toBe(whole.file);
});

type Answer = { label: string; index: number; probability: number }[];

test("pictures of every kind are answered alike, bit by bit where their pixels are", { timeout: PATIENCE }, async () => {
  await open();
  const { answers, attention, before, after } = (await page.evaluate("kinds()")) as {
    answers: Record<string, Answer> & { list: Answer[] };
    attention: number[];
    before: number[];
    after: number[];
  };
  const { file, url, img, canvas, bitmap, pixels, frame, list, video } = answers;
  expect(file![0]!.label).toBe("red");
  for (const other of [url, img, canvas, bitmap, pixels, frame]) expect(other).toEqual(file);
  for (const other of list) expect(other.map((p) => p.label)).toEqual(file!.map((p) => p.label));
  // A stream's frames have been through a video's colours.
  video!.forEach((p, i) => expect(Math.abs(p.probability - file![i]!.probability)).toBeLessThan(0.02));
  expect(attention).toEqual([4, 16]);
  expect(after).toEqual(before);
});

test("a browser's stores keep the last file that was set, whole, by its name", { timeout: PATIENCE }, async () => {
  await open();
  const steps = [null, [1, 2, 3], null, null];
  expect(Object.values((await page.evaluate("stores()")) as object)).toEqual([steps, steps]);
});

test("in a worker the answers and the run's bits are those of the page", { timeout: PATIENCE }, async () => {
  await open();
  const result = (await page.evaluate("inWorker()")) as { files: string[]; same: boolean[]; phases: string[]; error: string[] };
  expect(result).toMatchObject({
    same: [true, true, true, true, true],
    unsaved: true,
    goneOn: true,
    stopped: true,
    half: false,
    kept: true,
    finished: true,
    shared: [true, true],
  });
  expect(result.files[0]).toBe(result.files[1]);
  expect(result.phases).toEqual(expect.arrayContaining(["upload", "compile"]));
  expect(result.error[0]).toBe("PictureError");
});
