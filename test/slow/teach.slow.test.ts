/** The page teach, driven as a person would: training that a closed tab stops ends in the same weights as an unbroken run. Figures go into RESULTS.md. */
import { createHash } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, ElementHandle, Page } from "puppeteer-core";
import sharp from "sharp";
import { expect, test } from "vitest";
import { readWeights, writeWeights } from "../../models/checkpoints/weights.ts";
import { createModel } from "../../models/model.ts";
import { initialState } from "../../models/params.ts";
import { CIFAR10_MEAN, CIFAR10_STD, parseCifar } from "../../train/data/dataset.ts";
import { builtSite, press } from "./built-site.ts";

const MINUTE = 60_000;
const PICTURES = 10;

const site = builtSite();

async function open(visitor: Pick<Browser, "newPage"> = site().browser): Promise<Page> {
  const page = await visitor.newPage();
  page.setDefaultTimeout(10 * MINUTE);
  await page.goto(`${site().url}teach.html`, { waitUntil: "load" });
  await page.waitForSelector("[data-class]");
  return page;
}

/** Fills the page's two classes with pictures of CIFAR-10. */
async function fill(page: Page): Promise<void> {
  const set = parseCifar(new Uint8Array(await readFile("app/data/cifar10/train.bin")));
  for (const [i, label] of [1, 6].entries()) {
    const numbers = [...set.labels.keys()].filter((n) => set.labels[n] === label).slice(0, PICTURES);
    const files = await Promise.all(
      numbers.map(async (n) => {
        const planes = set.images.subarray(n * 3072, (n + 1) * 3072);
        const rgb = Uint8Array.from({ length: 3072 }, (_, k) => planes[(k % 3) * 1024 + Math.floor(k / 3)]!);
        const path = join(site().folder, `${label}-${n}.png`);
        await sharp(rgb, { raw: { width: 32, height: 32, channels: 3 } })
          .png()
          .toFile(path);
        return path;
      }),
    );
    const card = (await page.$$("[data-class]"))[i]!;
    await ((await card.$("input[type=file]")) as ElementHandle<HTMLInputElement>).uploadFile(...files);
    await page.waitForFunction(
      (k, n) => document.querySelectorAll<HTMLElement>("[data-count]")[k]!.dataset["count"] === String(n),
      {},
      i,
      PICTURES,
    );
  }
}

async function learn(page: Page, way: string, epochs: number): Promise<void> {
  await page.waitForFunction(() => ![...document.querySelectorAll("button")].find(({ textContent }) => textContent === "Learn")!.disabled);
  await page.evaluate((name) => [...document.querySelectorAll("label")].find((l) => l.textContent!.trim() === name)!.click(), way);
  await page.$eval(
    "input[max='1000']",
    (field, n) => {
      (field as HTMLInputElement).value = String(n);
      field.dispatchEvent(new Event("input", { bubbles: true }));
    },
    epochs,
  );
  await press(page, "Learn");
}

const stepsOf = (page: Page) => page.$eval("[data-steps]", (e) => Number((e as HTMLElement).dataset["steps"]));

/** Waits until runs of this number have ended in a result. */
async function ended(page: Page, runs: number): Promise<void> {
  await page.waitForFunction(
    (n) =>
      document.querySelector(".error") !== null ||
      (n === 1
        ? document.querySelector("[data-accuracy]") !== null
        : document.querySelectorAll("section[aria-label='Runs compared'] tbody tr").length === n),
    { timeout: 15 * MINUTE },
    runs,
  );
  expect(await page.$$eval(".error", (errors) => errors.map(({ textContent }) => textContent))).toEqual([]);
}

/** The taught model, as the page saves it. */
async function model(page: Page, name: string): Promise<Uint8Array> {
  const session = await page.createCDPSession();
  const done = new Promise<void>((resolve) =>
    session.on("Browser.downloadProgress", ({ state }) => {
      if (state === "completed") resolve();
    }),
  );
  await session.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: site().folder, eventsEnabled: true });
  await press(page, "Model as .safetensors");
  await done;
  await rename(join(site().folder, "model.safetensors"), join(site().folder, name));
  return readFile(join(site().folder, name));
}

const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex").slice(0, 16);

test("all weights of the shipped model: the tab is closed in the middle, and ends in the same weights as an unbroken run", {
  timeout: 40 * MINUTE,
}, async () => {
  const EPOCHS = 80;
  const first = await open();
  await fill(first);
  await learn(first, "Everything", EPOCHS);
  await ended(first, 1);
  const steps = await stepsOf(first);
  const unbroken = await model(first, "unbroken.safetensors");

  // Again, until the browser's private files hold a state of it; then the tab goes without a word.
  await learn(first, "Everything", EPOCHS);
  await first.waitForFunction(
    async () => {
      const root = await navigator.storage.getDirectory();
      const file = await root.getFileHandle("teach-run").then(
        (handle) => handle.getFile(),
        () => null,
      );
      return (file !== null && file.size > 0) || document.querySelector(".error") !== null;
    },
    { polling: 200 },
  );
  expect(await first.$$(".error")).toEqual([]);
  const closedAt = await stepsOf(first);
  await first.close();

  const second = await open();
  await second.waitForFunction(() =>
    [...document.querySelectorAll("button")].some((b) => b.textContent!.startsWith("Go on with") && !b.disabled),
  );
  await press(second, "Go on with the stopped run (all");
  await ended(second, 1);
  const left = await stepsOf(second);
  const reopened = await model(second, "reopened.safetensors");
  console.log(`${steps} steps, closed at ${closedAt}, ${left} after reopening; SHA-256 ${sha(unbroken)} and ${sha(reopened)}`);
  expect(left).toBeLessThan(steps);
  expect(left).toBeGreaterThan(0);
  expect(sha(reopened)).toBe(sha(unbroken));
  await press(second, "Delete everything");
  await second.waitForFunction(() => document.querySelector("[role=status]")!.textContent !== "");
  await second.close();
});

test("LoRA on a transformer from a file; a convolutional model says that it has none", { timeout: 20 * MINUTE }, async () => {
  const transformer = createModel({ arch: "deit", imgSize: 32, patchSize: 8, dim: 64, depth: 3, heads: 2, numClasses: 10 });
  const path = join(site().folder, "deit.safetensors");
  const classes = Array.from({ length: 10 }, (_, i) => `kind ${i}`);
  await writeFile(
    path,
    writeWeights(initialState(transformer.params, 1), {
      config: transformer.config,
      classes,
      mean: [...CIFAR10_MEAN],
      std: [...CIFAR10_STD],
    }),
  );
  const page = await open(await site().browser.createBrowserContext()); // with nothing of the test before
  await fill(page);
  await page.waitForFunction(() => ![...document.querySelectorAll("button")].find(({ textContent }) => textContent === "Learn")!.disabled);
  const ways = () => page.$$eval("input[name=way]", (all) => all.map((one) => (one as HTMLInputElement).disabled));
  expect(await ways()).toEqual([false, true, true, false]);
  expect(await page.$eval("section[aria-label=Training]", (e) => e.textContent)).toContain("this model is convolutional");
  await ((await page.$("section[aria-label=Model] input[type=file]")) as ElementHandle<HTMLInputElement>).uploadFile(path);
  await page.waitForFunction(() => ![...document.querySelectorAll<HTMLInputElement>("input[name=way]")].some((one) => one.disabled));
  await learn(page, "LoRA", 10);
  await ended(page, 1);
  const { state } = readWeights(await model(page, "lora.safetensors"));
  expect([...state.keys()].sort()).toEqual(transformer.params.map(({ name }) => name).sort());
  const before = initialState(transformer.params, 1);
  const changed = [...state].filter(
    ([name, { data }]) => before.get(name)?.data.length === data.length && data.some((v, i) => v !== before.get(name)!.data[i]),
  );
  expect(changed.map(([name]) => name).filter((name) => /qkv\.weight|attn\.proj\.weight/.test(name))).toHaveLength(6);
  await page.close();
});
