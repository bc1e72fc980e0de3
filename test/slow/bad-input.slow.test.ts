/** What goes wrong in a page that has the packed library: each is one error of a documented class that says what to do, and no training is lost. */
import { readFile, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { extname, join } from "node:path";
import type { Browser, Page } from "puppeteer-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launchBrowser } from "../../cli/node/chromium.ts";
import { TINY, tinyFile } from "../tasks/pictures.ts";
import { builtApp } from "./built-app.ts";
import { projectsFolder } from "./packed.ts";

const MINUTE = 60_000;

const PAGE = `
import { loadModel, opfs } from "tessera-gpu";
const tiny = () => loadModel("/tiny.safetensors");
const photos = (...labels) => labels.flatMap((label, k) => [0, 1, 2, 3].map((i) => ({
  label, image: new ImageData(new Uint8ClampedArray(4 * 20 * 20).map((_, at) => (40 * k + 7 * i + 31 * at) % 256), 20, 20),
})));
const hex = async (bytes) => Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), (b) => b.toString(16)).join(" ");
const run = { train: "all", epochs: 4, batchSize: 4 };
const did = {
  load: (url, o) => loadModel(url, o),
  classify: async (url) => (await tiny()).classify(url),
  classifyBlob: async (url) => (await tiny()).classify(await (await fetch(url)).blob()),
  classifyImage: async (src) => (await tiny()).classify(Object.assign(new Image(), { src })),
  fineTune: async (labels, o) => (await tiny()).fineTune(photos(...labels), { ...run, ...o }),
  /** A store of a small quota, into which a run is saved; then the same run from what the error holds. */
  full: async () => {
    const base = await tiny();
    const whole = await base.fineTune(photos("red", "blue"), run);
    const error = await base.fineTune(photos("red", "blue"), { ...run, checkpoint: opfs("full"), checkpointEvery: { steps: 3 } }).catch((e) => e);
    const store = { get: async () => error.checkpoint, set: async () => {}, delete: async () => {} };
    const steps = [];
    const rest = await base.fineTune(photos("red", "blue"), { ...run, checkpoint: store, onStep: ({ step }) => steps.push(step) });
    const same = (await hex(await whole.model.save())) === (await hex(await rest.model.save()));
    return { error: error.name + ": " + error.message, same, first: steps[0] };
  },
  /** Another model goes on from a checkpoint that a run has left. */
  another: async () => {
    const base = await tiny();
    const stop = new AbortController();
    const store = opfs("another");
    await base.fineTune(photos("red", "blue"), { ...run, checkpoint: store, signal: stop.signal, onStep: () => stop.abort() });
    const before = await hex(await store.get());
    const other = await loadModel("/other.safetensors");
    const told = await other.fineTune(photos("red", "blue"), { ...run, checkpoint: store }).then(() => "nothing", (e) => e.name + ": " + e.message);
    return { told, kept: before === (await hex(await store.get())) };
  },
};
globalThis.outcome = (name, ...args) => did[name](...args).then((value) => value, (error) => error.name + ": " + error.message);
globalThis.ready = true;
`;

const folder = projectsFolder();
let served: string, server: Server, port: number, browser: Browser, page: Page;

/** The folder's files; files under /cut/ end early, and /stalled never sends its last byte. */
function serve(): Server {
  return createServer(async (request, response) => {
    const path = new URL(request.url!, "http://page").pathname;
    const types: Record<string, string> = { ".html": "text/html", ".js": "text/javascript" };
    const file = path === "/" ? "/index.html" : path.replace(/^\/(cut|stalled)\//, "/");
    const body = await readFile(join(served, file)).catch(() => null);
    if (!body) return void response.writeHead(404).end();
    response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream", "content-length": body.length });
    if (path === file || path === "/") return void response.end(body);
    response.write(body.subarray(0, 1000), () => path.startsWith("/cut/") && response.destroy());
  });
}

async function open(origin = `http://127.0.0.1:${port}/`, before?: string): Promise<Page> {
  const opened = await browser.newPage();
  opened.setDefaultTimeout(10 * MINUTE);
  if (before) await opened.evaluateOnNewDocument(before);
  await opened.goto(origin);
  await opened.waitForFunction("globalThis.ready");
  return opened;
}

const outcome = (name: string, ...args: unknown[]): Promise<unknown> => page.evaluate(`outcome(...${JSON.stringify([name, ...args])})`);

beforeAll(async () => {
  served = await builtApp(folder, PAGE);
  await writeFile(join(served, "tiny.safetensors"), tinyFile());
  await writeFile(join(served, "other.safetensors"), tinyFile({ ...TINY, depth: 1 }));
  const flat = (width: number, height: number) => sharp({ create: { width, height, channels: 3, background: "#48c" } });
  await flat(1, 1).png().toFile(join(served, "one.png"));
  await flat(11_000, 9_100).png().toFile(join(served, "huge.png"));
  await writeFile(join(served, "broken.png"), (await flat(64, 64).png().toBuffer()).subarray(0, 60));
  await writeFile(join(served, "empty.png"), "");
  server = serve();
  await new Promise<void>((resolve) => server.listen(0, () => resolve()));
  ({ port } = server.address() as AddressInfo);
  browser = await launchBrowser();
  page = await open();
}, 30 * MINUTE);
afterAll(async () => {
  await browser?.close();
  server?.closeAllConnections();
  server?.close();
});

describe("a URL of weights", () => {
  test.each([
    ["404", "/none.safetensors", {}, /^WeightsError: .*expected a file at .*none\.safetensors, got status 404/],
    ["HTML", "/index.html", {}, /^WeightsError: loadModel: expected a safetensors or \.pth file of weights.*got \/index\.html/],
    ["truncated", "/cut/tiny.safetensors", {}, /^WeightsError: .*expected \d+ bytes of .*after 4 tries/],
    ["another checksum", `/tiny.safetensors#sha256=${"0".repeat(64)}`, {}, /^WeightsError: .*expected sha256 0+ of .*got [0-9a-f]{64}/],
    ["stalled", "/stalled/tiny.safetensors", { timeoutMs: 300 }, /^WeightsError: .*got no byte for 0\.3 s after 4 tries/],
    ["another model", "/tiny.safetensors", { model: "deit_tiny_patch16_224" }, /^WeightsError: loadModel: .*expected/],
  ])("%s", async (_, url, o, message) => {
    const told = await outcome("load", url, o);
    console.log(told);
    expect(told).toMatch(message);
  });
});

describe("a picture", () => {
  test.each([
    ["404", "classify", "/none.png", /^PictureError: .*got status 404/],
    ["broken", "classifyBlob", "/broken.png", /^PictureError: picture: expected a picture that this browser can decode/],
    ["broken, as <img>", "classifyImage", "/broken.png", /^PictureError: picture: expected an image that loads/],
    ["empty", "classifyBlob", "/empty.png", /^PictureError: picture: expected a picture that this browser can decode, got .*of 0 bytes/],
  ])("%s", async (_, how, url, message) => {
    const told = await outcome(how, url);
    console.log(told);
    expect(told).toMatch(message);
  });

  test("1x1 is one, and 100 megapixels are one or refused", async () => {
    expect(await outcome("classifyBlob", "/one.png")).toHaveLength(5);
    const huge = await outcome("classifyBlob", "/huge.png");
    console.log("100 megapixels:", typeof huge === "string" ? huge : "classified");
    if (typeof huge === "string") expect(huge).toMatch(/^PictureError: picture: expected/);
    else expect(huge).toHaveLength(5);
  });
});

test.each([
  ["a class without a picture", ["red", "blue"], { labels: ["red", "blue", "green"] }, /^ExamplesError: .*green/],
  ["one class", ["red"], {}, /^ExamplesError: .*expected/],
  ["a label that is not in labels", ["red", "pink"], { labels: ["red", "blue"] }, /^ExamplesError: .*pink/],
])("examples with %s", async (_, labels, o, message) => {
  const told = await outcome("fineTune", labels, o);
  console.log(told);
  expect(told).toMatch(message);
});

test("another model's checkpoint is refused, and kept", async () => {
  const found = (await outcome("another")) as { told: string; kept: boolean };
  console.log(found.told);
  expect(found).toEqual({ told: expect.stringMatching(/^StoreError: fineTune: expected the store to hold this run or none/), kept: true });
});

test("a full store: the run goes on from what the error holds, to the same bits", async () => {
  const session = await page.createCDPSession();
  await session.send("Storage.overrideQuotaForOrigin", { origin: `http://127.0.0.1:${port}`, quotaSize: 1000 });
  const found = (await outcome("full")) as { error: string; same: boolean; first: number };
  console.log(found.error);
  expect(found).toEqual({
    error: expect.stringMatching(/^StoreError: fineTune: expected the store to keep \d+ bytes, got .*uota/),
    same: true,
    first: 4,
  });
});

describe("a page without WebGPU", () => {
  test("a browser that has none", async () => {
    const without = await open(undefined, "delete Navigator.prototype.gpu");
    const told = await without.evaluate("outcome('load', '/tiny.safetensors')");
    console.log(told);
    expect(told).toMatch(/^AdapterError: initDevice: expected WebGPU/);
    await without.close();
  });

  const address = Object.values(networkInterfaces())
    .flat()
    .find((found) => found?.family === "IPv4" && !found.internal)?.address;
  test.runIf(address)("a page that is not served securely", async () => {
    const insecure = await open(`http://${address}:${port}/`);
    const told = await insecure.evaluate("outcome('load', '/tiny.safetensors')");
    console.log(told);
    expect(told).toMatch(/^AdapterError: initDevice: .*not served securely/);
    await insecure.close();
  });
});
