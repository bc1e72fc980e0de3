/**
 * The README's twelve lines as a stranger runs them: its own text against the packed tarball, in headless Chromium. Three classes of ten
 * pictures are taught, stopped half-way, gone on with after a reload to the same bits; what was saved classifies pictures of every kind.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "puppeteer-core";
import { transformSync } from "rolldown/utils";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchBrowser } from "../../cli/node/chromium.ts";
import { writeSafetensors } from "../../models/checkpoints/safetensors.ts";
import { createModel } from "../../models/model.ts";
import { initialState } from "../../models/params.ts";
import { tinyFile } from "../tasks/pictures.ts";
import { builtApp } from "./built-app.ts";
import { projectsFolder } from "./packed.ts";
import { serveFolder } from "./serve-folder.ts";

const MINUTE = 60_000;
const CLASSES = { cat: [220, 120, 30], dog: [40, 60, 200], fox: [200, 40, 160] } as const;
const folder = projectsFolder();

/** The README's block with these words replaced, each of which must be there. */
function twelveLines(replaced: Readonly<Record<string, string>>): string {
  const code = /^## Twelve lines teach it your classes\s+```ts\n([^]*?)^```/m.exec(readFileSync("README.md", "utf8"))![1]!;
  expect(code.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("import ")).length).toBeLessThanOrEqual(12);
  const changed = Object.entries(replaced).reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`README.md: expected ${from} in its twelve lines, got none`);
    return text.replace(from, to);
  }, code);
  return transformSync("app.ts", changed, { target: "es2023" }).code;
}

/** More pictures, a stop where the address asks for one, and what came of it for the test to see. */
const APP = () =>
  twelveLines({
    '["cat", "dog"]': '["cat", "dog", "fox"]',
    "[1, 2, 3, 4, 5]": "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]",
    'checkpoint: opfs("run")': 'checkpoint: opfs("run"), onStep: (m) => globalThis.seen(m, stop)',
    "if (finished)": "globalThis.run.finished = finished; if (finished)",
    "console.log(": "globalThis.mine = mine; globalThis.run.done = true; console.log(",
  });

const PAGE = () => `
globalThis.run = { steps: [], total: 0, finished: null, done: false };
const half = location.search === "?stop";
globalThis.seen = ({ step, totalSteps }, stop) => {
  run.steps.push(step);
  run.total = totalSteps;
  if (half && step === Math.floor(totalSteps / 2)) stop.abort();
};
${APP()}
`;

/** In the page: the model's answers for one picture in every form, and for a loop of frames. */
async function kinds(): Promise<unknown> {
  const { mine } = globalThis as unknown as { mine: import("../../tasks/api.ts").VisionModel };
  const blob = await (await fetch("/photos/dog-2.png")).blob();
  const file = new File([blob], "dog-2.png", { type: "image/png" });
  const img = new Image();
  img.src = URL.createObjectURL(file);
  await img.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
  const context = canvas.getContext("2d")!;
  context.drawImage(img, 0, 0);
  const offscreen = new OffscreenCanvas(canvas.width, canvas.height);
  offscreen.getContext("2d")!.drawImage(img, 0, 0);
  const frame = new VideoFrame(canvas, { timestamp: 0 });
  const forms = {
    file,
    url: "/photos/dog-2.png",
    img,
    canvas,
    offscreen,
    bitmap: await createImageBitmap(file),
    pixels: context.getImageData(0, 0, canvas.width, canvas.height),
    frame,
  };
  const answers: Record<string, unknown> = {};
  for (const [name, form] of Object.entries(forms)) answers[name] = await mine.classify(form);
  const video = document.createElement("video");
  video.muted = true;
  video.srcObject = canvas.captureStream(30);
  const timer = setInterval(() => context.drawImage(img, 0, 0), 30); // a stream shows what is drawn while it runs
  await video.play();
  video.pause();
  clearInterval(timer);
  answers["video"] = await mine.classify(video);
  answers["video's pixels"] = await mine.classify(await createImageBitmap(video, { colorSpaceConversion: "none" }));
  return answers;
}

let server: Awaited<ReturnType<typeof serveFolder>>, browser: Browser;

beforeAll(async () => {
  const served = await builtApp(
    folder,
    `${PAGE()}\nimport { getDevice, loadModel as load } from "tessera-gpu";\nObject.assign(globalThis, { getDevice, load });`,
  );
  await mkdir(join(served, "photos"));
  for (const [label, [r, g, b]] of Object.entries(CLASSES))
    for (let i = 1; i <= 10; i++) {
      const background = { r: r + i, g: g + 3 * i, b: b - 2 * i };
      await sharp({ create: { width: 80 + i, height: 90, channels: 3, background } })
        .png()
        .toFile(join(served, `photos/${label}-${i}.png`));
    }
  const model = createModel("deit_tiny_distilled_patch16_224");
  const state = initialState(model.params, 3);
  writeFileSync(
    join(served, "deit.safetensors"),
    writeSafetensors(new Map([...state].map(([name, t]) => [name, { dtype: "F32" as const, ...t }]))),
  );
  writeFileSync(join(served, "tiny.safetensors"), tinyFile());
  server = await serveFolder(served);
  browser = await launchBrowser();
}, 30 * MINUTE);
afterAll(async () => {
  await browser?.close();
  await server?.close();
});

interface Run {
  readonly steps: readonly number[];
  readonly total: number;
  readonly finished: boolean | null;
}

/** The app in a visitor's browser, until it has saved its model or stopped. */
async function visit(context: BrowserContext, search = ""): Promise<{ page: Page; run: Run; file: string | null; logged: string[] }> {
  const page = await context.newPage();
  page.setDefaultTimeout(30 * MINUTE);
  const logged: string[] = [];
  page.on("console", (message) => message.type() === "log" && logged.push(message.text()));
  page.on("pageerror", (error) => search === "" && console.error("page:", error));
  await page.goto(server.url + search);
  await page.waitForFunction("run.done || run.finished === false", { timeout: 30 * MINUTE });
  const file = (await page.evaluate(`(async () => {
    const folder = await navigator.storage.getDirectory();
    const bytes = await folder.getFileHandle("mine").then(async (handle) => (await handle.getFile()).arrayBuffer(), () => null);
    return bytes && Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), (b) => b.toString(16).padStart(2, "0")).join("");
  })()`)) as string | null;
  return { page, run: (await page.evaluate("run")) as Run, file, logged };
}

let page: Page;

test("loads, teaches three classes, stops half-way, and after a reload goes on to the same bits", { timeout: 30 * MINUTE }, async () => {
  const whole = await visit(await browser.createBrowserContext());
  expect(whole.run.finished).toBe(true);
  expect(whole.file).not.toBeNull();
  expect(whole.logged.at(-1)).toMatch(/^dog 1 4x4 16$/);

  const visitor = await browser.createBrowserContext();
  const half = await visit(visitor, "?stop");
  expect(half.run.finished).toBe(false);
  expect(half.file).toBeNull();
  await half.page.close();
  const rest = await visit(visitor);
  expect(rest.run.finished).toBe(true);
  expect(rest.run.steps[0]).toBe(Math.floor(whole.run.total / 2) + 1);
  expect([...half.run.steps, ...rest.run.steps]).toEqual(whole.run.steps);
  expect(rest.file).toBe(whole.file);
  console.log(`${whole.run.total} steps, stopped after ${half.run.steps.length}: both files are ${rest.file}`);
  ({ page } = rest);
});

type Answer = { label: string; probability: number }[];

test("what was saved classifies every kind of picture alike, to the bit", { timeout: 30 * MINUTE }, async () => {
  const { video, "video's pixels": same, ...answers } = (await page.evaluate(kinds)) as Record<string, Answer>;
  const { file, ...others } = answers;
  expect(file![0]!.label).toBe("dog");
  for (const [name, answer] of Object.entries(others)) expect(answer, name).toEqual(file);
  expect(video).toEqual(same); // a stream's frames have been through a video's colours
  expect(video![0]!.label).toBe("dog");
  console.log(`one picture as ${Object.keys(answers).join(", ")}: equal; <video> equals its own frame's pixels`);
});

test("a thousand frames leave bytes, tensors and buffers as they were", { timeout: 30 * MINUTE }, async () => {
  const { before, after } = (await page.evaluate(`(async () => {
    const model = await load("/tiny.safetensors");
    const canvas = new OffscreenCanvas(64, 48);
    const context = canvas.getContext("2d");
    const frame = async (i) => {
      context.fillStyle = "hsl(" + i + " 80% 50%)";
      context.fillRect(i % 60, 0, 4, 48);
      const picture = i % 2 === 0 ? canvas : new VideoFrame(canvas, { timestamp: i });
      await model.classify(picture);
      picture.close?.();
    };
    const { stats } = getDevice();
    const now = () => ({ bytes: stats.bytesLive, tensors: stats.tensorsLive, buffers: stats.buffersCreated, pipelines: stats.pipelinesCreated });
    for (let i = 0; i < 2; i++) await frame(i);
    const before = now();
    for (let i = 0; i < 1000; i++) await frame(i);
    return { before, after: now() };
  })()`)) as { before: object; after: object };
  console.log(`1,000 frames: ${JSON.stringify(after)} as before`);
  expect(after).toEqual(before);
});
