/** A page that trains in the library's worker: its own thread stays free. Tabs that share have the model's memory once. From the packed tarball. */
import { readFile, readdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchBrowser } from "../../cli/node/chromium.ts";
import { TINY, tinyFile } from "../tasks/pictures.ts";
import { builtApp } from "./built-app.ts";
import { projectsFolder } from "./packed.ts";
import { longestTask } from "./longest-task.ts";
import { serveFolder } from "./serve-folder.ts";

const MINUTE = 60_000;
const MOST_MS = 50;

const PAGE = `
import { loadModelInWorker } from "tessera-gpu/worker";
const photo = async (label, color, i) => {
  const canvas = new OffscreenCanvas(200, 150);
  const context = canvas.getContext("2d");
  context.fillStyle = color;
  context.fillRect(0, 0, 200, 150);
  context.fillStyle = "white";
  context.fillRect(10 * i, 30, 40, 60);
  return { label, image: await canvas.convertToBlob() };
};
globalThis.prepare = async () => {
  globalThis.photos = [];
  for (const [label, color] of [["red", "#d33"], ["green", "#3c4"], ["blue", "#46e"]]) for (let i = 0; i < 10; i++) photos.push(await photo(label, color, i));
};
/** Loads, trains and classifies in the worker; the page's long tasks meanwhile, as the page itself is told of them. */
globalThis.teach = async () => {
  const told = [];
  new PerformanceObserver((list) => told.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
  const steps = [];
  const base = await loadModelInWorker("/model.safetensors", { onProgress: () => undefined });
  const { model, finished } = await base.fineTune(photos, { train: "all", epochs: 6, onStep: ({ step }) => steps.push(step) });
  const [best] = await model.classify(photos[0].image);
  await new Promise((resolve) => setTimeout(resolve, 200)); // entries come late
  return { finished, steps: steps.length, best: best.label, told };
};
globalThis.loadModelInWorker = loadModelInWorker;
globalThis.share = async () => {
  globalThis.model = await loadModelInWorker("/model.safetensors", { shared: true });
  return (await model.classify(photos[0].image)).length;
};
/** Begins to load a shared model, until the first progress; what comes of it is the outcome. */
globalThis.begin = async (url) => {
  globalThis.stop = new AbortController();
  await new Promise((begun) => {
    globalThis.outcome = loadModelInWorker(url, { shared: true, signal: stop.signal, onProgress: begun }).then(
      (model) => model.labels.length,
      (error) => error.name,
    );
  });
};
globalThis.ready = true;
`;

/** Before the worker's own code: counts the bytes of the buffers that it has. */
const COUNTER = `{
  globalThis.gpuBytes = 0;
  const { createBuffer } = GPUDevice.prototype;
  GPUDevice.prototype.createBuffer = function (descriptor) { globalThis.gpuBytes += descriptor.size; return createBuffer.call(this, descriptor); };
  const { destroy } = GPUBuffer.prototype;
  GPUBuffer.prototype.destroy = function () { globalThis.gpuBytes -= this.size; return destroy.call(this); };
}
`;

const MODEL = tinyFile({ ...TINY, imgSize: 64, patchSize: 8, dim: 96, depth: 4 });
const folder = projectsFolder();
let server: Awaited<ReturnType<typeof serveFolder>>, browser: Browser;

beforeAll(async () => {
  const served = await builtApp(folder, PAGE);
  await writeFile(join(served, "model.safetensors"), MODEL);
  const assets = join(served, "assets");
  for (const name of (await readdir(assets)).filter((file) => file.startsWith("model-worker")))
    await writeFile(join(assets, name), COUNTER + (await readFile(join(assets, name), "utf8")));
  server = await serveFolder(served);
  browser = await launchBrowser();
}, 30 * MINUTE);
afterAll(async () => {
  await browser?.close();
  await server?.close();
});

async function open(): Promise<Page> {
  const page = await browser.newPage();
  page.setDefaultTimeout(30 * MINUTE);
  page.on("pageerror", (error) => console.error("page:", error));
  await page.goto(server.url);
  await page.waitForFunction("globalThis.ready");
  await page.evaluate("prepare()");
  return page;
}

test(`while the worker loads and trains, no task of the page's thread takes ${MOST_MS} ms`, { timeout: 30 * MINUTE }, async () => {
  const page = await open();
  const teach = () => page.evaluate("teach()") as Promise<{ finished: boolean; steps: number; best: string; told: number[] }>;
  const { result: found, ms, tasks } = await longestTask(page, teach);
  console.log(
    `${found.steps} steps in the worker; page: ${tasks} tasks, the longest ${ms.toFixed(1)} ms of processor time; ${found.told.length} long tasks told (${found.told.map((v) => v.toFixed(0)).join(", ")} ms by the clock)`,
  );
  expect(found).toMatchObject({ finished: true, best: "red" });
  expect(found.steps).toBeGreaterThan(5);
  expect(tasks).toBeGreaterThan(100);
  expect(ms).toBeLessThan(MOST_MS);
  await page.close();
});

test("two tabs that share hold the model's bytes once", { timeout: 30 * MINUTE }, async () => {
  const [first, second] = [await open(), await open()];
  expect(await first.evaluate("share()")).toBe(5);
  const target = await browser.waitForTarget((t) => t.type() === "shared_worker");
  const worker = (await target.worker())!;
  const bytes = () => worker.evaluate("gpuBytes") as Promise<number>;
  const alone = await bytes();
  expect(await second.evaluate("share()")).toBe(5);
  const together = await bytes();
  console.log(`GPU bytes of the shared worker: ${alone} with one tab, ${together} with two`);
  expect(alone).toBeGreaterThan(MODEL.length); // the parameters are there
  expect(together).toBe(alone);
  expect(browser.targets().filter((t) => t.type() === "shared_worker")).toHaveLength(1);

  const another = (page: Page, search: string) =>
    page.evaluate(`loadModelInWorker("/model.safetensors?${search}", { shared: true }).then((own) => own.labels.length)`);
  expect(await another(first, "of the first")).toBe(5);
  const withAnother = await bytes();
  expect(withAnother).toBeGreaterThan(alone + MODEL.length);
  await first.close();
  await expect.poll(bytes, { timeout: MINUTE }).toBeLessThan(withAnother);
  expect(await second.evaluate("model.classify(photos[1].image).then((answer) => answer.length)")).toBe(5); // what it uses is there
  expect(await another(second, "of the second")).toBe(5); // in the memory of what the closed tab alone used, which the worker kept
  expect(await bytes()).toBeLessThanOrEqual(withAnother);
  await second.close();
});

test("a shared load goes on for the tabs that did not stop it, and ends with the last", { timeout: 30 * MINUTE }, async () => {
  const slow = await halfServed();
  const [first, second] = [await open(), await open()];
  for (const page of [first, second]) await page.evaluate(`begin("${slow.url}model")`);
  await first.evaluate("stop.abort()");
  expect(await first.evaluate("outcome")).toBe("AbortError");
  slow.serveRest();
  expect(await second.evaluate("outcome")).toBe(5);

  await first.evaluate(`begin("${slow.url}other")`);
  await first.evaluate("stop.abort()");
  expect(await first.evaluate("outcome")).toBe("AbortError");
  await expect.poll(slow.ended, { timeout: MINUTE }).toEqual(["/model: whole", "/other: cut off"]);
  slow.close();
  await Promise.all([first.close(), second.close()]);
});

/** A server on another port that gives a model's first half, and the rest when told to. */
async function halfServed() {
  let serveRest: () => void = () => undefined;
  const ended: string[] = [];
  const server = createServer((request, response) => {
    response.writeHead(200, { "content-length": MODEL.length, "access-control-allow-origin": "*" });
    response.write(MODEL.subarray(0, MODEL.length / 2));
    serveRest = () => response.end(MODEL.subarray(MODEL.length / 2));
    response.on("close", () => ended.push(`${request.url}: ${response.writableFinished ? "whole" : "cut off"}`));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    serveRest: () => serveRest(),
    ended: () => ended,
    close: () => void server.close(),
  };
}
