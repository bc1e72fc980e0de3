/** The site as it is built, under a sub-path: looked at by axe, at three widths, in light and dark; classes taught as a person would; without a network afterwards. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { createRequire } from "node:module";
import type { Browser, ElementHandle, Page } from "puppeteer-core";
import sharp from "sharp";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launchBrowser } from "../../cli/node/chromium.ts";
import { adviceFor } from "../../app/site/shell/no-webgpu.ts";
import { build } from "../../cli/main.ts";
import { buildSite } from "../../cli/site.ts";
import { parseCifar } from "../../train/data/dataset.ts";
import { readWeights } from "../../models/checkpoints/weights.ts";
import { axesOf, parseOnnx } from "../models/onnx-file.ts";

const PAGES = ["index", "classify", "teach", "distil", "lab", "bench", "docs", "api", "recorded"] as const;
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
};
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let folder: string;
let server: Server;
let browser: Browser;
let base: string;
/** Every address that any page asked for. */
const asked: string[] = [];
const faults: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tessera-site-"));
  await buildSite(folder);
  server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, "http://x").pathname);
    readFile(join(folder, path.replace(/^\/some\/place\//, "")))
      .then((file) => response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" }).end(file))
      .catch(() => response.writeHead(404).end());
  }).listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/some/place/`;
  browser = await launchBrowser();
}, 400_000);

afterAll(async () => {
  await browser?.close();
  server?.close();
  await rm(folder, { recursive: true, force: true });
});

/** The file that the page gives when `ask` is done. */
async function downloaded(page: Page, ask: () => Promise<void>, name: string): Promise<Uint8Array> {
  const session = await page.createCDPSession();
  const done = new Promise<void>((resolve, reject) => {
    session.on("Browser.downloadProgress", ({ state }) => {
      if (state === "completed") resolve();
      else if (state === "canceled") reject(new Error(`${name}: the download was cancelled`));
    });
  });
  await session.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: folder, eventsEnabled: true });
  await ask();
  await done;
  return readFile(join(folder, name));
}

async function newPage(): Promise<Page> {
  const page = await browser.newPage();
  page.setDefaultTimeout(240_000); // a busy machine takes its time
  return page;
}

async function open(name: string): Promise<Page> {
  const page = await newPage();
  page.on("request", (request) => asked.push(request.url()));
  page.on("pageerror", (error) => faults.push(`${name}: ${(error as Error).message}`));
  await page.goto(`${base}${name}.html`, { waitUntil: "load" });
  return page;
}

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string }[];
}

/** axe finds nothing on the page as it is now, in light and dark, and nothing is cut at three widths. */
async function looksRight(page: Page): Promise<void> {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    for (const width of [360, 768, 1300]) {
      await page.setViewport({ width, height: 900 });
      const cut = () =>
        page.evaluate(() => {
          const { scrollWidth, clientWidth } = document.documentElement;
          const wide = [...document.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > clientWidth + 1);
          return scrollWidth <= clientWidth ? "" : wide.map((e) => `${e.tagName} ${e.className}`).join(", ");
        });
      await expect.poll(cut, { message: `${scheme}, ${width} pixels`, timeout: 10_000 }).toBe("");
    }
    await page.evaluate(axe);
    const { violations } = (await page.evaluate("axe.run()")) as { readonly violations: readonly Violation[] };
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]!.html}`)).toEqual([]);
  }
}

describe("every page", () => {
  for (const name of PAGES) {
    test(`${name}: axe finds nothing in light and dark, and nothing is cut at 360, 768 and 1300 pixels`, async () => {
      const page = await open(name);
      await page.waitForFunction(() => !document.getElementById("app") || document.getElementById("app")!.childElementCount > 0);
      await looksRight(page);
      await page.close();
    });
  }

  test("home's script is at most 30 KB gzipped, and nothing moves while it loads", async () => {
    const page = await open("index");
    const { scripts, shift } = await page.evaluate(async () => {
      const moved = await new Promise<number>((done) => {
        let sum = 0;
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) sum += (entry as unknown as { value: number }).value;
        }).observe({ type: "layout-shift", buffered: true });
        setTimeout(() => done(sum), 500);
      });
      return {
        shift: moved,
        scripts: performance
          .getEntriesByType("resource")
          .map(({ name }) => name)
          .filter((url) => url.endsWith(".js")),
      };
    });
    expect(scripts.length).toBeGreaterThan(0);
    let bytes = 0;
    for (const url of scripts.filter((name) => name.startsWith(`${base}assets/`)))
      bytes += gzipSync(await readFile(join(folder, url.slice(base.length)))).length;
    expect(bytes).toBeGreaterThan(0);
    expect(bytes).toBeLessThanOrEqual(30_000);
    expect(shift).toBe(0);
    await page.close();
  });
});

test("bench measures one case, scores it beside a committed result, and leads to the lab with its shape", async () => {
  const page = await open("bench");
  expect(await page.$("fieldset.rivals")).toBeNull(); // the site has none
  await page.type("#only", "softmax 12x197x197");
  await page.type("#samples", "1");
  await page.waitForSelector("#start:not([disabled])");
  await page.click("#start");
  await page.waitForSelector("#report #scores");
  await page.click("#report #cases .press");
  const links = await page.$$eval("#report [aria-label='A figure explained'] a", (all) => all.map((a) => a.getAttribute("href")!));
  expect(links).toEqual(["./lab.html#op=softmax&sizes=12x197x197"]);
  await looksRight(page);
  await Promise.all([page.waitForNavigation(), page.click("#report [aria-label='A figure explained'] a")]);
  await page.waitForFunction(() => /, forward at softmax 12x197x197/.test(document.querySelector(".lab-kernel")?.textContent ?? ""));
  await page.close();
}, 240_000);

test("the search of guides and API finds a name, and a guide by its words", async () => {
  const page = await open("docs");
  const hits = async (words: string): Promise<string[]> => {
    await page.$eval("input[type=search]", (field) => ((field as HTMLInputElement).value = ""));
    await page.type("input[type=search]", words);
    await page.waitForFunction(
      (first) => document.querySelector("[data-found] a")?.textContent?.toLowerCase().includes(first),
      {},
      words.split(" ")[0]!.toLowerCase(),
    );
    return page.$$eval("[data-found] a", (links) => links.map((link) => link.getAttribute("href")!));
  };
  expect((await hits("loadModel"))[0]).toBe("./api.html#main-loadModel");
  expect(await hits("checkpoints shard")).toContain("./docs.html#checkpoints");
  await looksRight(page);
  await page.close();
});

describe("without WebGPU", () => {
  test.each([
    [
      "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
      "chrome://flags/#enable-unsafe-webgpu",
    ],
    ["Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/112.0.0.0 Mobile Safari/537.36", "on Android 121"],
    ["Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0", "Firefox has WebGPU from version 141"],
    [
      "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
      "iOS 26",
    ],
    ["Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15", "macOS 26"],
    ["Lynx/2.9", "Chrome or Edge 113"],
  ])("%s is told what to do", (agent, advice) => {
    expect(adviceFor(agent, true)).toContain(advice);
    expect(adviceFor(agent, false)).toContain("https");
  });

  test("every page says what to do, and leads to a recorded run", async () => {
    const page = await newPage();
    page.on("request", (request) => asked.push(request.url()));
    await page.evaluateOnNewDocument(() => Object.defineProperty(Navigator.prototype, "gpu", { value: undefined }));
    for (const name of ["classify", "teach", "distil", "index"]) {
      await page.goto(`${base}${name}.html`, { waitUntil: "load" });
      await page.waitForSelector("[data-no-webgpu] a");
      expect(await page.$eval("[data-no-webgpu]", ({ textContent }) => textContent), name).toContain("offers no WebGPU");
    }
    await Promise.all([page.waitForNavigation(), page.click("[data-no-webgpu] a")]);
    expect(page.url()).toBe(`${base}recorded.html`);
    await looksRight(page);
    expect(await page.$eval("body", ({ textContent }) => textContent)).toContain("48.3 %");
    await page.close();
  });
});

describe("teach", () => {
  test("three classes of ten pictures: a probe gets most of what it has not seen right; the project opens again", async () => {
    const set = parseCifar(new Uint8Array(await readFile("app/data/cifar10/train.bin")));
    const page = await open("teach");
    await page.waitForSelector("[data-class]");
    const press = (text: string) =>
      page.evaluate(
        (name) => [...document.querySelectorAll("button")].find((button) => button.textContent!.startsWith(name))!.click(),
        text,
      );
    await press("Add a class");
    await page.waitForFunction(() => document.querySelectorAll("[data-class]").length === 3);
    for (const [i, label] of [0, 1, 6].entries()) {
      const pictures = [...set.labels.keys()].filter((n) => set.labels[n] === label).slice(0, 10);
      const files = await Promise.all(
        pictures.map(async (n) => {
          const planes = set.images.subarray(n * 3072, (n + 1) * 3072);
          const rgb = Uint8Array.from({ length: 3072 }, (_, k) => planes[(k % 3) * 1024 + Math.floor(k / 3)]!);
          const path = join(folder, `${set.classes[label]}-${n}.png`);
          await sharp(rgb, { raw: { width: 32, height: 32, channels: 3 } })
            .png()
            .toFile(path);
          return path;
        }),
      );
      const card = (await page.$$("[data-class]"))[i]!;
      const input = (await card.$("input[type=file]")) as ElementHandle<HTMLInputElement>;
      await input.uploadFile(...files);
      await page.waitForFunction(
        (k) => document.querySelectorAll<HTMLElement>("[data-count]")[k]!.dataset["count"] === "10",
        { timeout: 120_000 },
        i,
      );
    }
    await page.waitForFunction(
      () => ![...document.querySelectorAll("button")].find(({ textContent }) => textContent === "Learn")!.disabled,
      { timeout: 120_000 },
    );
    await press("Learn");
    await page.waitForSelector("[data-accuracy], .error", { timeout: 180_000 });
    expect(await page.$$eval(".error", (errors) => errors.map(({ textContent }) => textContent))).toEqual([]);
    const accuracy = Number(await page.$eval("[data-accuracy]", (place) => (place as HTMLElement).dataset["accuracy"]));
    expect(accuracy).toBeGreaterThanOrEqual(0.5); // one of three is chance
    await looksRight(page);
    const onnx = parseOnnx(await downloaded(page, () => press("Model as .onnx"), "model.onnx"));
    expect((JSON.parse(onnx.metadata[0]!.value) as { classes: string[] }).classes).toEqual(["class 1", "class 2", "class 3"]);
    expect(onnx.graph.output.map(axesOf)).toEqual([["logits", 1, "batch", 3]]);
    const weights = new Map(onnx.graph.initializer.map(({ name, raw }) => [name, raw]));
    const { state } = readWeights(await downloaded(page, () => press("Model as .safetensors"), "model.safetensors"));
    for (const [name, { data }] of state)
      expect(Buffer.from(data.buffer, data.byteOffset, data.byteLength).equals(weights.get(name)!), name).toBe(true);
    await page.reload({ waitUntil: "load" });
    await page.waitForFunction(() =>
      [...document.querySelectorAll<HTMLElement>("[data-count]")].every(({ dataset }) => dataset["count"] === "10"),
    );
    await press("Delete everything");
    await page.waitForFunction(() =>
      [...document.querySelectorAll<HTMLElement>("[data-count]")].every(({ dataset }) => dataset["count"] === "0"),
    );
    await page.close();
  }, 400_000);
});

test("once visited, every page opens without its server", async () => {
  const visitor = await browser.createBrowserContext();
  const page = await visitor.newPage();
  page.setDefaultTimeout(240_000);
  await page.goto(`${base}index.html`, { waitUntil: "load" });
  await page.waitForFunction(() => navigator.serviceWorker.ready.then(({ active }) => active?.state === "activated"), { timeout: 120_000 });
  await page.reload({ waitUntil: "load" });
  await new Promise((closed) => {
    server.close(closed);
    server.closeAllConnections();
  });
  for (const name of PAGES) {
    await page.goto(`${base}${name}.html`, { waitUntil: "load" });
    expect(await page.$eval("h1", ({ textContent }) => textContent)).not.toBe("");
  }
  await visitor.close();
}, 400_000);

test("every TypeScript sample of the guides is run: README's by readme.test.ts, the layer's by vite-page.test.ts", async () => {
  const readme = await readFile("README.md", "utf8");
  const guides = readdirSync("app/site/guides");
  const samples = (file: string): string[] =>
    [...readFileSync(join("app/site/guides", file), "utf8").matchAll(/```ts\n([^]*?)```/g)].map(([, code]) => code!);
  expect(guides.filter((file) => samples(file).length > 0)).toEqual(["01-start.md", "02-fine-tune.md", "04-train-a-layer.md"]);
  for (const file of ["01-start.md", "02-fine-tune.md"]) for (const sample of samples(file)) expect(readme).toContain(sample);
  expect(samples("04-train-a-layer.md")).toHaveLength(1);
});

test("every command of the guides and of README has its verb and its options", async () => {
  const texts = [...readdirSync("app/site/guides").map((file) => join("app/site/guides", file)), "README.md"].map((file) =>
    readFileSync(file, "utf8"),
  );
  const blocks = texts.flatMap((text) => [...text.matchAll(/```sh\n([^]*?)```/g)].map(([, code]) => code!));
  const commands = blocks.flatMap((code) => code.split("\n")).filter((line) => line.startsWith("tessera "));
  expect(commands.length).toBeGreaterThan(8);
  const program = await build();
  for (const command of commands) {
    const [, verb] = command.split(" ");
    const known = program.commands.find((one) => one.name() === verb)?.options.map(({ long }) => long);
    expect(known, command).toBeDefined();
    for (const [option] of command.matchAll(/(?<= )--[a-z-]+/g)) expect(known, command).toContain(option);
  }
});

test("no page asked for anything but its own, and none failed", () => {
  expect(asked.length).toBeGreaterThan(20);
  expect(asked.filter((url) => !url.startsWith(base) && !/^(data|blob):/.test(url))).toEqual([]);
  expect(faults).toEqual([]);
});
