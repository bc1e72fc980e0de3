/** The report as a reader gets it: rendered with made-up data, opened from a file in headless Chromium. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { ReportData, RunSummary, Sample } from "../../jobs/report-data.ts";
import { renderReport } from "../../app/report.ts";
import { findChromium, readSetup } from "../../cli/node/find.ts";
import { makeRecipe } from "../../train/recipe.ts";

const HOSTILE = `</script><b id="broken">"quoted" & 'single' <!-- \u2028\u2029 $& $$ $' \`\${x}\``;
const CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", HOSTILE];
const STEPS = 300,
  EPOCHS = 12,
  SIDE = 32,
  PATCHES = 8;

/** The same number in [0, 1) for the same n. */
const noise = (n: number) => Math.abs(Math.sin(12.9898 * n + 4.1) * 43758.5453) % 1;

function run(title: string, distillation: "hard" | "none", gain: number, seed: number): RunSummary {
  const score = (top1: number) => ({ top1, top5: Math.min(1, top1 + 0.3), loss: 2 - top1 });
  return {
    title,
    recipe: makeRecipe({ epochs: EPOCHS, batchSize: 50, distillation, warmupEpochs: 1 }),
    steps: Array.from({ length: STEPS }, (_, i) => {
      const t = i / STEPS;
      const base = 0.9 + 1.4 * Math.exp(-3 * t) + 0.25 * (noise(i + seed) - 0.5);
      const distill = distillation === "none" ? 0 : 0.7 + 1.6 * Math.exp(-4 * t) + 0.25 * (noise(i + seed + 999) - 0.5);
      // Steps of the two runs that do not meet, as after thinning runs of different length.
      const step = 1 + 8 * i + (distillation === "none" ? 3 : 0);
      const lr = 1e-3 * Math.min(1, 12 * t) * (0.5 + 0.5 * Math.cos(Math.PI * t)) + 1e-5;
      return { step, loss: distill ? (base + distill) / 2 : base, base, distill, lr, trainTop1: 0.1 + 0.5 * t + 0.1 * noise(i) };
    }),
    epochs: Array.from({ length: EPOCHS }, (_, e) => {
      const top1 = 0.12 + (0.42 + gain) * (1 - Math.exp(-(e + 1) / 4)) + 0.015 * noise(e + seed);
      const dist = distillation === "none" ? 0.09 + 0.02 * noise(e) : top1 + 0.008;
      return {
        kind: "epoch",
        epoch: e,
        step: 200 * (e + 1),
        trainLoss: 2.2 - 0.09 * e,
        trainTop1: top1,
        seconds: 12.5,
        inputWait: 0,
        test: { count: 2000, model: score(top1 + (dist < 0.2 ? -0.02 : 0.012)), cls: score(top1), dist: score(dist), imagesPerSecond: 900 },
      } as const;
    }),
    imagesPerSecond: 412.34 + seed,
    seconds: 183.21 + seed,
    launchesPerStep: 1234 + seed,
    gpuBytes: 123_456_789 + seed,
  };
}

function sample(n: number): Sample {
  const pixels = Buffer.alloc(3 * SIDE * SIDE);
  for (let c = 0; c < 3; c++)
    for (let y = 0; y < SIDE; y++)
      for (let x = 0; x < SIDE; x++) {
        const inside = Math.hypot(x - 10 - n, y - 14) < 8;
        pixels[(c * SIDE + y) * SIDE + x] = (inside ? [220, 150, 70] : [90, 140, 190])[(c + n) % 3]! + 25 * noise(x + 31 * y + n);
      }
  const attention = (cx: number, cy: number) => {
    const raw = Array.from(
      { length: PATCHES ** 2 },
      (_, i) => Math.exp(-Math.hypot((i % PATCHES) - cx, Math.floor(i / PATCHES) - cy)) + 0.05 * noise(i),
    );
    const sum = raw.reduce((a, b) => a + b);
    return raw.map((v) => (0.95 * v) / sum);
  };
  const top = (first: number, p: number): [string, number][] =>
    [0, 3, 5].map((d, i) => [CLASSES[(first + d) % 10]!, [p, (1 - p) * 0.6, (1 - p) * 0.25][i]!]);
  return {
    pixels: pixels.toString("base64"),
    label: CLASSES[(n + 4) % 10]!,
    teacher: top(n + 4, 0.93),
    distilled: top(n % 3 ? n + 4 : n + 1, 0.61),
    plain: top(n % 2 ? n + 4 : n + 9, 0.44),
    attentionCls: attention(2 + n / 4, 3),
    attentionDist: attention(5, 2 + n / 3),
  };
}

const DATA: ReportData = {
  title: `A vision transformer distilled ${HOSTILE}`,
  date: "2025-01-02 03:04 UTC",
  command: `npm run demo -- --note '${HOSTILE}'`,
  commit: "0123456789abcdef0123456789abcdef01234567",
  adapter: { name: `llvmpipe ${HOSTILE}`, software: true, where: "Node" },
  data: { name: "CIFAR-10 subset", train: 10_000, test: 2000, classes: CLASSES, side: SIDE },
  student: {
    name: "DeiT, distilled",
    params: 212_116,
    macs: 3_612_345,
    config: { arch: "deit", imgSize: 32, patchSize: 4, dim: 64, depth: 4, heads: 2, distilled: true },
  },
  teacher: { name: "RegNetY", params: 1_234_567, macs: 41_234_567, top1: 0.8765, trainedOn: "trained on all 50,000 images" },
  patches: PATCHES,
  runs: [run("distilled", "hard", 0.09, 0), run("without the teacher", "none", 0, 7)],
  samples: Array.from({ length: 6 }, (_, n) => sample(n)),
  comparison: {
    groups: {
      both: { images: 700, teacherRight: 690, asTeacher: 692 },
      distilled: { images: 251, teacherRight: 240, asTeacher: 241 },
      plain: { images: 189, teacherRight: 150, asTeacher: 30 },
      neither: { images: 860, teacherRight: 500, asTeacher: 260 },
    },
    p: 0.003_59,
  },
  seconds: 401.25,
};

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

async function render(data: ReportData): Promise<string> {
  const uplot = dirname(createRequire(import.meta.url).resolve("uplot/package.json"));
  const [template, js, css] = await Promise.all(
    [file("app/report.html"), join(uplot, "dist/uPlot.iife.min.js"), join(uplot, "dist/uPlot.min.css")].map((path) =>
      readFile(path, "utf8"),
    ),
  );
  return renderReport(template!, js!, css!, data);
}

describe("renderReport", () => {
  test("refuses a template without its places", () => {
    expect(() => renderReport("<html></html>", "", "", DATA)).toThrow("report: expected one <!-- place: uPlot --> in the template, got 0");
  });
  test("refuses scripts that would break out", () => {
    expect(() => renderReport("", "'</script>'", "", DATA)).toThrow("report: expected a script");
  });
  test("keeps the data's bytes from ending the script element", async () => {
    const page = await render(DATA);
    expect(page).not.toContain("<b id=");
    expect(page).not.toMatch(/[\u2028\u2029]/);
  });
});

const chromium = readSetup()?.chromium ?? (await findChromium());

describe.skipIf(!chromium)("in a browser", { timeout: 60_000 }, () => {
  let browser: Browser, page: Page, folder: string;
  const problems: string[] = [],
    requests: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "report-"));
    await writeFile(join(folder, "report.html"), await render(DATA));
    browser = await puppeteer.launch({ executablePath: chromium!.path, headless: true, args: ["--no-sandbox"] });
    page = await browser.newPage();
    page.on("console", (m) => problems.push(`${m.type()}: ${m.text()}`));
    page.on("pageerror", (e) => problems.push(String(e)));
    page.on("request", (r) => requests.push(r.url()));
    await page.setViewport({ width: 1200, height: 900 });
    await page.goto(pathToFileURL(join(folder, "report.html")).href);
    await page.waitForSelector(".uplot canvas");
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** Cells of a table as shown, row by row. */
  const cells = (id: string) => page.$$eval(`#${id} tbody tr`, (rows) => rows.map((r) => [...r.children].map((c) => c.textContent)));
  const shown = (v: number, digits: number) => v.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

  test("nothing is logged, nothing is fetched", () => {
    expect(problems).toEqual([]);
    expect(requests.filter((url) => !url.startsWith("data:"))).toEqual([pathToFileURL(join(folder, "report.html")).href]);
  });

  test("hostile strings are shown as they are", async () => {
    expect(await page.$("#broken")).toBeNull();
    expect(await page.title()).toContain(`</script><b id="broken">"quoted" & 'single'`); // the browser folds white space there
    expect(await page.$eval("h1", (e) => e.textContent)).toBe(DATA.title);
    expect(await page.$eval("pre", (e) => e.textContent)).toBe(DATA.command);
    expect(await page.$eval("header + .lead ~ p:last-of-type", (e) => e.textContent)).toContain(DATA.adapter.name);
  });

  test("says whether the students are told apart, and what the teacher answered", async () => {
    expect(await page.$eval("#verdict", (e) => e.textContent)).toBe(
      "The teacher helped: only the distilled student gets 251 of the test images right, only the other one 189; two students who are equally good would differ that much with a probability of p = 0.00359 (McNemar’s exact test). One run each.",
    );
    expect((await cells("comparison"))[1]).toEqual(["Only the distilled one", "251", "240", "241"]);
  });

  test("software is called software", async () => {
    expect(await page.$eval("main", (e) => e.textContent)).toContain("This is a software adapter");
  });

  test("every canvas is drawn", async () => {
    const colors = await page.$$eval("canvas", (all) =>
      all.map((c) => {
        const pixels = new Uint32Array(c.getContext("2d")!.getImageData(0, 0, c.width, c.height).data.buffer);
        return new Set(pixels).size;
      }),
    );
    expect(colors.length).toBe(4 + DATA.samples.length * 4 + 1);
    expect(Math.min(...colors)).toBeGreaterThan(8);
  });

  test("a sample's image and its heat are those of the data", async () => {
    const read = (selector: string, x: number, y: number) =>
      page.$eval(selector, (c, x, y) => [...(c as HTMLCanvasElement).getContext("2d")!.getImageData(x, y, 1, 1).data.subarray(0, 3)], x, y);
    const bytes = Buffer.from(DATA.samples[0]!.pixels, "base64");
    const rgb = (x: number, y: number) => [0, 1, 2].map((c) => bytes[(c * SIDE + y) * SIDE + x]!);
    expect(await read("#samples canvas", 9, 20)).toEqual(rgb(9, 20));
    // The peak of the class token's map is yellow over grey: patch column 2, row 3.
    const [r, g, b] = rgb(9, 13) as [number, number, number];
    const grey = 0.25 * (0.299 * r + 0.587 * g + 0.114 * b);
    const heat = await read("#attention-maps li:first-child figure:nth-child(2) canvas", 9, 13);
    [252, 250, 160].forEach((v, c) => expect(Math.abs(heat[c]! - (grey + 0.75 * v))).toBeLessThanOrEqual(1));
  });

  test("the headline judges each run by the heads that it trains", async () => {
    const [distilled, plain] = DATA.runs.map((r) => r.epochs.at(-1)!.test);
    const percent = (v: number | undefined) => `${shown(100 * v!, 1)} %`;
    expect(await cells("result")).toEqual([
      ["Distilled", percent(distilled!.cls?.top1), percent(distilled!.dist?.top1), percent(distilled!.model.top1)],
      ["Without the teacher1", percent(plain!.cls?.top1), percent(plain!.dist?.top1), percent(plain!.model.top1)],
      ["Teacher, RegNetY", percent(DATA.teacher!.top1!), "–", "–"],
    ]);
    const lead = await page.$eval(".lead", (e) => e.textContent);
    expect(lead).toContain(percent(distilled!.model.top1));
    expect(lead).toContain(percent(plain!.cls?.top1));
    expect(lead).toContain(`+${shown(100 * (distilled!.model.top1 - plain!.cls!.top1), 1)} points`);
  });

  test("the table of figures holds the data's", async () => {
    const { student: s, runs } = DATA;
    const t = DATA.teacher!;
    const values = await page.$$eval("#figures tbody tr", (rows) =>
      rows.map((r) => [...r.querySelectorAll("data")].map((d) => Number(d.value))),
    );
    const of = (key: "imagesPerSecond" | "launchesPerStep" | "gpuBytes" | "seconds") => runs.map((r) => r[key]);
    expect(values).toEqual([
      [t.params, s.params, s.params],
      [t.macs, s.macs, s.macs],
      of("imagesPerSecond"),
      of("launchesPerStep"),
      of("gpuBytes"),
      of("seconds"),
    ]);
    const text = (await cells("figures")).map((row) => row.slice(1));
    expect(text).toEqual([
      ["1,234,567", "212,116", "212,116"],
      ["0.0412", "0.00361", "0.00361"],
      ["–", "412.3", "419.3"],
      ["–", "1,234", "1,241"],
      ["–", "117.7 MiB", "117.7 MiB"],
      ["–", "183.2", "190.2"],
    ]);
  });

  test("one run without a teacher and without samples has its curves and figures, and no empty sections", async () => {
    const alone: ReportData = { ...DATA, teacher: null, samples: [], patches: 0, runs: [DATA.runs[1]!] };
    await writeFile(join(folder, "alone.html"), await render(alone));
    const other = await browser.newPage();
    const wrong: string[] = [];
    other.on("pageerror", (e) => wrong.push(String(e)));
    await other.goto(pathToFileURL(join(folder, "alone.html")).href);
    await other.waitForSelector(".uplot canvas");
    expect(wrong).toEqual([]);
    expect(await other.$$eval("h2", (all) => all.map((h) => h.textContent))).toEqual(["Curves", "Figures", "Recipe", "Reproduce"]);
    expect(await other.$$eval("#figures thead th", (all) => all.map((h) => h.textContent))).toEqual(["Figure", "Without the teacher"]);
    await other.close();
  });

  test("the recipe is whole, its differences marked", async () => {
    const rows = await cells("recipe");
    const recipe = DATA.runs[0]!.recipe;
    expect(rows.length).toBe(Object.keys(recipe).length + 1 + Object.keys(DATA.student.config).length);
    expect(rows.filter(([name]) => name!.startsWith("≠"))).toEqual([["≠distillation (differs)", "hard", "none"]]);
  });

  test("how to reproduce it is said", async () => {
    const { commit, date, adapter, data } = DATA;
    expect(await page.$$eval("dd", (all) => all.map((d) => d.textContent))).toEqual([
      commit,
      date,
      `${adapter.name}, software`,
      adapter.where,
      data.name,
    ]);
  });

  test("legends show the last values until the pointer asks for others", async () => {
    const rows = () => page.$eval(".u-legend", (l) => [...l.querySelectorAll("tr:not(.unlisted)")].map((r) => r.textContent));
    const before = await rows();
    expect(before.map((r) => r!.replace(/[\d.]+$/, "#"))).toEqual([
      "Distilled, whole loss#",
      "Distilled, label term#",
      "Distilled, teacher term#",
      "Without the teacher#",
    ]);
    await (await page.$(".u-over"))!.hover();
    await vi.waitFor(async () => expect(await rows()).not.toEqual(before));
    await page.mouse.move(0, 0);
    await vi.waitFor(async () => expect(await rows()).toEqual(before));
  });

  test.each([360, 768, 1200])("no sideways scrolling at %i px", async (width) => {
    await page.setViewport({ width, height: 800 });
    await page.waitForFunction(() =>
      [...document.querySelectorAll<HTMLElement>(".uplot")].every((u) => u.offsetWidth <= u.parentElement!.clientWidth),
    );
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
  });

  test("runs cut short, and numbers that are none, still make a page", async () => {
    const [distilled, plain] = DATA.runs as [RunSummary, RunSummary];
    const { cls: _, dist: __, ...only } = plain.epochs[0]!.test;
    const cut: ReportData = {
      ...DATA,
      runs: [
        { ...distilled, epochs: [], steps: distilled.steps.slice(0, 5).map((s) => ({ ...s, loss: NaN })) },
        { ...plain, epochs: [{ ...plain.epochs[0]!, test: only }], steps: [] },
      ],
      samples: [{ ...DATA.samples[0]!, attentionDist: [], plain: [] }],
    };
    await writeFile(join(folder, "cut.html"), await render(cut));
    const other = await browser.newPage();
    const wrong: string[] = [];
    other.on("console", (m) => wrong.push(m.text()));
    other.on("pageerror", (e) => wrong.push(String(e)));
    await other.goto(pathToFileURL(join(folder, "cut.html")).href);
    expect(await other.$$eval("h2", (all) => all.map((h) => h.textContent))).toEqual([
      "Curves",
      "Sample predictions",
      "Attention",
      "Figures",
      "Recipe",
      "Reproduce",
    ]);
    expect(wrong).toEqual([]);
    await other.close();
  });
});
