/** The page classify, driven as a person would: a model of a file, pictures, answers as the library gives them in Node, attention, the nearest, the map. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ElementHandle, Page } from "puppeteer-core";
import sharp from "sharp";
import { expect, test } from "vitest";
import { openNodeDevice } from "../../cli/node/adapter.ts";
import { writeWeights } from "../../models/checkpoints/weights.ts";
import { createModel } from "../../models/model.ts";
import { initialState } from "../../models/params.ts";
import { loadModel } from "../../tasks/load-model.ts";
import { CIFAR10_MEAN, CIFAR10_STD, parseCifar } from "../../train/data/dataset.ts";
import { looksRight } from "../app/looks-right.ts";
import { builtSite, press } from "./built-site.ts";

const MINUTE = 60_000;
const SMALL = { arch: "deit", imgSize: 32, patchSize: 8, dim: 64, depth: 2, heads: 2, numClasses: 10, distilled: true } as const;
/** Folder for pictures of the page, to look at. */
const SHOTS = process.env["TESSERA_SHOTS"];

const site = builtSite();

const text = (page: Page, selector: string): Promise<string[]> =>
  page.$$eval(selector, (all) => all.map(({ textContent }) => textContent!.trim()));

/** A canvas' pixels, as a digest would: their sum by place. */
const seen = (page: Page): Promise<number> =>
  page.$eval(".stage canvas", (canvas) => {
    const { width, height } = canvas as HTMLCanvasElement;
    const { data } = (canvas as HTMLCanvasElement).getContext("2d")!.getImageData(0, 0, width, height);
    return data.reduce((sum, value, i) => (sum * 31 + value * (i + 1)) % 1_000_003, 7);
  });

async function shot(page: Page, name: string): Promise<void> {
  if (!SHOTS) return;
  await mkdir(SHOTS, { recursive: true });
  for (const [width, scheme] of [
    [1300, "light"],
    [360, "dark"],
  ] as const) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await page.setViewport({ width, height: 900 });
    await page.screenshot({ path: join(SHOTS, `${name}-${width}-${scheme}.png`), fullPage: true });
  }
}

test("pictures are answered as in Node; attention goes by token and block; what is no picture is named and the rest stays", {
  timeout: 20 * MINUTE,
}, async () => {
  await openNodeDevice();
  const model = createModel(SMALL);
  const set = parseCifar(new Uint8Array(await readFile("app/data/cifar10/train.bin")));
  const weights = writeWeights(initialState(model.params, 3), {
    config: model.config,
    classes: set.classes,
    mean: [...CIFAR10_MEAN],
    std: [...CIFAR10_STD],
  });
  const file = join(site().folder, "small.safetensors");
  await writeFile(file, weights);
  const pictures = await Promise.all(
    [0, 1, 2, 3, 4, 5].map(async (n) => {
      const planes = set.images.subarray(n * 3072, (n + 1) * 3072);
      const rgb = Uint8Array.from({ length: 3072 }, (_, k) => planes[(k % 3) * 1024 + Math.floor(k / 3)]!);
      const path = join(site().folder, `picture-${n}.png`);
      await sharp(rgb, { raw: { width: 32, height: 32, channels: 3 } })
        .resize(96, 64, { fit: "fill" })
        .png()
        .toFile(path);
      return path;
    }),
  );
  const broken = join(site().folder, "broken.png");
  await writeFile(broken, (await readFile(pictures[0]!)).subarray(0, 60));

  const page = await site().browser.newPage();
  page.setDefaultTimeout(5 * MINUTE);
  await page.goto(`${site().url}classify.html`, { waitUntil: "load" });
  const fileInput = (await page.waitForSelector("[aria-label=Model] input[type=file]")) as ElementHandle<HTMLInputElement>;
  await fileInput.uploadFile(file);
  await page.waitForFunction(() => document.querySelector("[aria-label=Model]")!.textContent!.includes("small.safetensors"));
  const drop = (await page.$(".drop input[type=file]")) as ElementHandle<HTMLInputElement>;
  await drop.uploadFile(...pictures, broken);
  await page.waitForFunction((n) => document.querySelectorAll("[aria-label='Your pictures'] li").length === n, {}, pictures.length);
  await page.waitForSelector("[aria-label='Map of your pictures']");
  await page.waitForFunction(() => document.querySelectorAll("[aria-label=Answers] .thumbs li").length === 5);
  await page.waitForSelector("[role=alert]");
  expect(await text(page, "[role=alert]")).toEqual([
    expect.stringMatching(/^broken\.png: expected a picture that this browser can decode, got image\/png$/),
  ]);

  const here = await loadModel(weights);
  const { data, info } = await sharp(pictures[0]).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  const answers = await here.classify({ data: new Uint8ClampedArray(data), width: info.width, height: info.height } as ImageData);
  expect(await text(page, "[aria-label=Answers] .bars .name")).toEqual(answers.map(({ label }) => label));
  expect(await text(page, "[aria-label=Answers] .bars .value")).toEqual(
    answers.map(({ probability }) => `${(100 * probability).toFixed(1)} %`),
  );
  here.dispose();

  const drawn = new Set<number>();
  const waitForAnother = () =>
    expect
      .poll(
        async () => {
          const now = await seen(page);
          return drawn.has(now) ? "the same" : (drawn.add(now), "another");
        },
        { timeout: MINUTE },
      )
      .toBe("another");
  await waitForAnother();
  await page.select(".stage + .row label:nth-of-type(2) select", "distillation");
  await waitForAnother();
  await page.select(".stage + .row label:nth-of-type(3) select", "1");
  await waitForAnother();
  await looksRight(page);
  await shot(page, "classify");

  await press(page, "RegNetY");
  await page.waitForFunction(() =>
    document.querySelector("[aria-label='Picture and attention']")!.textContent!.includes("has no attention to show"),
  );
  await page.waitForSelector("[aria-label=Answers] .bars");
  await looksRight(page);
  await page.close();
});
