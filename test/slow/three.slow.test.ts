/** examples/three as a stranger runs it: three.js and the packed library on one device in one page, counted from outside. */
import { cpSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchBrowser } from "../../cli/node/chromium.ts";
import { TINY, tinyFile } from "../tasks/pictures.ts";
import { install, pack, projectsFolder } from "./packed.ts";
import { serveFolder } from "./serve-folder.ts";

const MINUTE = 60_000;
const FRAMES = 60;
const folder = projectsFolder();
let server: Awaited<ReturnType<typeof serveFolder>>, browser: Browser, page: Page;
const complaints: string[] = [];

/** Notes each call that moves values between CPU and GPU: in which frame, and for which library. */
function countCalls(): void {
  interface Call {
    readonly frame: number;
    readonly name: string;
    readonly by: string;
    readonly bytes: number;
  }
  const seen = { frame: 0, calls: [] as Call[] };
  Object.assign(globalThis, { seen });
  Error.stackTraceLimit = 50;
  const note = (prototype: object, name: string, bytes: (args: readonly unknown[]) => number = () => 0): void => {
    const methods = prototype as Record<string, (...args: unknown[]) => unknown>;
    const original = methods[name]!;
    methods[name] = function (this: unknown, ...args) {
      const by = new Error().stack!.includes("/tessera.js") ? "tessera" : "app";
      if (name === "onSubmittedWorkDone" && by === "app") seen.frame++;
      seen.calls.push({ frame: seen.frame, name, by, bytes: bytes(args) });
      return original.apply(this, args);
    };
  };
  const sizeOf = ([, , data, , size]: readonly unknown[]) => (size as number | undefined) ?? (data as ArrayBufferView).byteLength;
  note(GPUBuffer.prototype, "mapAsync");
  note(GPUBuffer.prototype, "getMappedRange");
  note(GPUQueue.prototype, "writeBuffer", sizeOf);
  note(GPUQueue.prototype, "writeTexture");
  note(GPUQueue.prototype, "copyExternalImageToTexture");
  note(GPUQueue.prototype, "onSubmittedWorkDone"); // what the example ends each frame with
}

beforeAll(async () => {
  const at = await install(folder, "three", await pack(".", folder), "three@0.187");
  cpSync("examples/three", at, { recursive: true, filter: (path) => !path.endsWith("package.json") });
  writeFileSync(join(at, "model.safetensors"), tinyFile({ ...TINY, imgSize: 64, patchSize: 8 }));
  server = await serveFolder(at);
  browser = await launchBrowser();
  page = await browser.newPage();
  page.setDefaultTimeout(30 * MINUTE);
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.evaluateOnNewDocument(countCalls);
  await page.goto(`${server.url}?offscreen`); // SwiftShader dies of presenting a WebGPU canvas in a headless Chromium
  await page.waitForFunction("document.querySelector('output').textContent", { timeout: 30 * MINUTE }).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${complaints.join("\n")}`);
  });
}, 30 * MINUTE);

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

interface Call {
  readonly frame: number;
  readonly name: string;
  readonly by: string;
  readonly bytes: number;
}

test("sixty frames: nothing goes over the CPU but the answers that are shown", { timeout: 30 * MINUTE }, async () => {
  const first = ((await page.evaluate("seen.frame")) as number) + 1;
  await page.waitForFunction(`seen.frame > ${first + FRAMES}`, { timeout: 30 * MINUTE });
  const calls = ((await page.evaluate("seen.calls")) as Call[]).filter(({ frame }) => frame >= first && frame < first + FRAMES);
  const count = (by: string, name: string) => calls.filter((call) => call.by === by && call.name === name).length;
  const uniforms = calls.filter(({ name }) => name === "writeBuffer").reduce((sum, { bytes }) => sum + bytes, 0);
  console.log(
    `${FRAMES} frames: ${count("tessera", "mapAsync")} answers read; three.js's uniforms ${(uniforms / FRAMES).toFixed(0)} bytes a frame`,
  );
  expect(count("tessera", "mapAsync")).toBe(FRAMES / 10);
  expect(count("tessera", "getMappedRange")).toBe(FRAMES / 10);
  for (const name of ["writeBuffer", "writeTexture", "copyExternalImageToTexture"]) expect(count("tessera", name), name).toBe(0);
  for (const name of ["mapAsync", "writeTexture", "copyExternalImageToTexture"]) expect(count("app", name), name).toBe(0);
  expect(uniforms / FRAMES).toBeLessThan(4096); // no picture and no map among it
  expect(complaints).toEqual([]);
});

test("the answer and the attention are those that the library gives for the rendered picture", { timeout: 30 * MINUTE }, async () => {
  const found = (await page.evaluate(`(async () => {
    const { renderer, target, screen, attribute, watcher, draw } = await import("/main.js");
    const { loadModel } = await import("tessera-gpu");
    await renderer.setAnimationLoop(null);
    await renderer.backend.device.queue.onSubmittedWorkDone();
    await draw();
    const drawn = new Float32Array(await renderer.getArrayBufferAsync(attribute));
    const texture = renderer.backend.get(target.texture).texture;
    const rgba = await renderer.readRenderTargetPixelsAsync(target, 0, 0, target.width, target.height);
    const pixels = new ImageData(new Uint8ClampedArray(rgba.buffer, rgba.byteOffset, 4 * target.width * target.height), target.width);
    const model = await loadModel(new Uint8Array(await (await fetch("./model.safetensors")).arrayBuffer()));
    const heads = await Promise.all([0, 1].map((head) => model.attention(texture, { block: model.config.depth - 1, head })));
    const [byTexture, byPixels] = [await model.classify(texture), await model.classify(pixels)];
    const shown = await watcher.answer();
    model.dispose();
    const shown512 = await renderer.readRenderTargetPixelsAsync(screen, 0, 0, 512, 512);
    const canvas = new OffscreenCanvas(512, 512);
    canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(shown512.buffer, shown512.byteOffset, 4 * 512 * 512), 512), 0, 0);
    const overlay = new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer()).toBase64();
    const colors = new Set(new Uint32Array(pixels.data.buffer)).size;
    return { overlay, colors, shown, byTexture, byPixels, drawn: [...drawn], attention: [...heads[0].weights].map((v, i) => (v + heads[1].weights[i]) / 2) };
  })()`)) as Record<"byTexture" | "byPixels", { label: string }[]> & {
    overlay: string;
    colors: number;
    shown: string;
    drawn: number[];
    attention: number[];
  };
  expect(found.colors).toBeGreaterThan(100);
  expect(found.byTexture).toEqual(found.byPixels);
  expect(found.shown).toBe(found.byTexture[0]!.label);
  expect(found.drawn).toHaveLength(64);
  found.drawn.forEach((v, i) => expect(v).toBeCloseTo(found.attention[i]!, 6));
  const png = process.env["TESSERA_SCREENSHOT"];
  if (png) await writeFile(png, Buffer.from(found.overlay, "base64"));
});

test("an error of the app reaches the app and nobody else; its device lives on after close()", { timeout: 30 * MINUTE }, async () => {
  const found = (await page.evaluate(`(async () => {
    const { renderer, watcher, target, draw } = await import("/main.js");
    const { closeDevice, getDevice } = await import("tessera-gpu");
    const heard = [];
    renderer.onError = ({ message }) => heard.push(message);
    const { device } = renderer.backend;
    device.createBuffer({ label: "the app's mistake", size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
    await draw();
    const answer = await watcher.answer();
    await device.queue.onSubmittedWorkDone();
    const { owned } = getDevice();
    closeDevice();
    const refused = await watcher.answer().catch(({ name }) => name);
    renderer.setRenderTarget(target);
    renderer.clear();
    const cleared = await renderer.readRenderTargetPixelsAsync(target, 0, 0, 1, 1); // three.js works on
    const lost = await Promise.race([device.lost.then(() => true), false]);
    return { heard, answer, owned, refused, cleared: cleared.length, lost };
  })()`)) as { heard: string[]; answer: string; owned: boolean; refused: string; cleared: number; lost: boolean };
  expect(found.heard).toHaveLength(1);
  expect(found.heard[0]).toContain("the app's mistake");
  expect(found).toMatchObject({ owned: false, refused: "DeviceLostError", lost: false });
  expect(found.answer).toMatch(/^[a-e]$/);
  expect(found.cleared).toBeGreaterThanOrEqual(4);
});
