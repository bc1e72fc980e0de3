/** The benchmark's report in a real page, of made results: charts, tables that sort, two results compared, hostile text, a phone's width, print. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "puppeteer-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { launchBrowser } from "../../cli/node/chromium.ts";
import { writeBenchReport } from "../../cli/bench/report-file.ts";
import { readResults, type ResultFile } from "../../bench/result-file.ts";
import { made, timing } from "../bench/made.ts";

const HOSTILE = `</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">`;
const CASES = {
  "matmul 64x64x64": 3,
  "layerNorm 8x192": 0.5,
  "linear 197x96x96": 2,
  "linear 197x192x192": 4,
  "linear 197x384x384": 8,
  "train deit_tiny_distilled_patch16_224 B4": 5,
};

const whole: ResultFile = {
  ...made({ cases: CASES, absent: { torch: "no PyTorch here" } }),
  notRun: ["gelu 9x9"],
  stopped: "device lost (destroyed)",
  bundle: { ours: { does: "trains", raw: 70_000, gzip: 20_480, brotli: 18_000 }, ort: { error: "did not build" } },
  first: [
    { case: "train x B8", contender: "ours", firstMs: 120, medianMs: 10, memoryBytes: 2 ** 21 },
    { case: "train x B8", contender: "ort", error: "it cannot train" },
  ],
  targets: [
    { what: "GEMM", least: 20, aim: 35, unit: "TFLOP/s", got: 15 },
    { what: "softmax", least: 60, aim: 85, unit: "%", got: null },
  ],
  torch: {
    version: "2.9",
    device: "One",
    runs: [
      { mode: "train", size: "tiny", kind: "fp32", compiled: false, batch: 256, imagesPerSecond: 900 },
      { mode: "train", size: "base", kind: "fp32", compiled: true, error: "out of memory" },
    ],
  },
};
const slower = made({ cases: { ...CASES, "matmul 64x64x64": 2.4 }, commit: "bbb" });
const elsewhere = made({
  cases: { "matmul 64x64x64": 1 },
  adapter: { vendor: "other", architecture: "mill", description: "Other Mill", software: false },
});
const hostile = made({
  cases: { [`matmul ${HOSTILE}`]: 2 },
  commit: HOSTILE,
  absent: { [HOSTILE]: HOSTILE },
  adapter: { description: HOSTILE },
});

describe("the benchmark's report", { timeout: 60_000 }, () => {
  let folder: string, browser: Awaited<ReturnType<typeof launchBrowser>> | undefined;
  const errors: string[] = [];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "bench-report-"));
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });
  afterEach(() => expect(errors.splice(0)).toEqual([]));

  async function open(name: string, results: readonly (readonly [string, ResultFile])[], width = 1200): Promise<Page> {
    const url = await writeBenchReport(
      join(folder, `${name}.html`),
      results.map(([file, result]) => ({ name: file, result })),
    );
    const page = await browser!.newPage();
    page.on("console", (m) => {
      if (m.type() === "error" || m.type() === "warn") errors.push(m.text());
    });
    page.on("pageerror", (e) => void errors.push(String(e)));
    page.on("request", (r) => {
      if (!/^(file|data):/.test(r.url())) errors.push(`asked for ${r.url()}`);
    });
    await page.setViewport({ width, height: 900, isMobile: width < 500, hasTouch: width < 500 });
    await page.goto(url);
    await page.waitForSelector("#report svg[role=img]");
    return page;
  }
  const headings = (page: Page) => page.$$eval("h2", (hs) => hs.map((h) => h.textContent));
  const column = (page: Page, table: string, at: number) =>
    page.$$eval(`${table} tbody tr`, (rows, i) => rows.map((r) => r.children[i as number]!.textContent), at);
  const press = (page: Page, table: string, title: string) =>
    page.$$eval(`${table} thead button`, (bs, t) => (bs.find((b) => b.textContent === t) as HTMLElement).click(), title);

  test("every part is there, with its figures", async () => {
    const page = await open("whole", [["a.json", whole]]);
    expect(await headings(page)).toEqual([
      "Summary",
      "Ratios",
      "Roofline",
      "Scaling",
      "Every figure",
      "A figure explained",
      "Not measured",
      "Targets",
      "PyTorch",
      "Download and first run",
      "Set-up",
    ]);
    expect(await page.$eval(".lead", (e) => e.textContent)).toContain("Software adapter");
    // Kernels, training steps and scaling have ratios; one roofline; one family of three widths.
    const labels = await page.$$eval("svg[role=img]", (svgs) => svgs.map((s) => s.getAttribute("aria-label")!.split(".")[0]));
    expect(labels).toEqual(["Kernels", "Training steps", "Scaling", "", "linear 197 rows"]);
    // A dot of tfjs for each kernel, where its ratio says: 3 right of the line at 1, 0.5 left of it.
    const at = await page.$eval("svg[aria-label^=Kernels]", (svg) => {
      const x = (e: Element) => e.getBoundingClientRect().x + e.getBoundingClientRect().width / 2;
      const line = [...svg.querySelectorAll("[aria-label=rule] line")].find((l) => l.getAttribute("x1") === l.getAttribute("x2"))!;
      return [...svg.querySelectorAll("[aria-label=dot] > *")].map((d) => Math.sign(x(d) - x(line)));
    });
    expect(at).toEqual([1, -1]);
    expect(await column(page, "#summary", 0)).toEqual(["TensorFlow.js, WebGPU", "ONNX Runtime, WebGPU"]);
    expect(await column(page, "#summary", 1)).toEqual(["1.22× (1/1/2)", "–"]);
    const failures = await page.$eval("#failures", (t) => t.textContent);
    expect(failures).toContain("it cannot");
    expect(failures).toContain("did not start: no PyTorch here");
    expect(await page.$eval("#not-run", (e) => e.textContent)).toBe("1 case not run: device lost (destroyed). gelu 9x9");
    expect(await column(page, "#bundle", 3)).toEqual(["20.0", "–"]);
    expect(await column(page, "#first", 2)).toEqual(["120", "failed"]);
    expect(await column(page, "#targets", 5)).toEqual(["missed", "not measured"]);
    // Ours: 4 images in 20 ms.
    expect(await column(page, "#torch", 5)).toEqual(["200", "–"]);
    await page.close();
  });

  test("a table sorts by the pressed column, upwards, then downwards, nothing last", async () => {
    const page = await open("sort", [["a.json", whole]]);
    const ratios = async () => (await column(page, "#cases", 6)).filter((t) => t !== "–").map(Number);
    await press(page, "#cases", "Ratio");
    expect(await ratios()).toEqual([0.5, 2, 3, 4, 5, 8]);
    expect((await column(page, "#cases", 6)).slice(6)).toEqual(Array(6).fill("–"));
    await press(page, "#cases", "Ratio");
    expect(await ratios()).toEqual([8, 5, 4, 3, 2, 0.5]);
    expect(await page.$$eval("#cases [aria-sort]", (hs) => hs.map((h) => `${h.textContent} ${h.getAttribute("aria-sort")}`))).toEqual([
      "Ratio descending",
    ]);
    await press(page, "#cases", "Case");
    expect((await column(page, "#cases", 0))[0]).toBe("layerNorm 8x192");
    await page.close();
  });

  test("a contender that is switched off leaves charts and tables", async () => {
    const page = await open("off", [["a.json", whole]]);
    await page.evaluate(() => document.querySelectorAll<HTMLInputElement>(".key input")[1]!.click());
    expect(new Set(await column(page, "#cases", 2))).toEqual(new Set(["ours"]));
    expect(await headings(page)).not.toContain("Ratios");
    await page.close();
  });

  test("two commits are judged, two machines stand side by side", async () => {
    const page = await open("two", [
      ["new.json", slower],
      ["old.json", whole],
      ["gpu.json", elsewhere],
    ]);
    expect(await page.$("#comparison")).toBeNull();
    await page.select("#beside", "1");
    await page.waitForSelector("svg[aria-label^=Change]");
    expect(await page.$eval(".verdict", (e) => e.textContent)).toMatch(/^1 regression: 1 slower, 0 faster, 5 the same/);
    await press(page, "#changes", "Change");
    expect(await page.$$eval("#changes tbody tr", (rs) => rs[0]!.textContent)).toMatch(/^matmul 64x64x64tfjs3.002.40−20.0 %.*slower$/);
    await page.select("#beside", "2");
    expect(await page.$eval(".verdict", (e) => e.textContent)).toContain("Two kinds of adapter: no verdict");
    expect(await column(page, "#machines", 0)).toEqual(["matmul 64x64x64"]);
    // The other one shown: a GPU, without the warning.
    await page.select("#shown", "2");
    expect(await page.$eval(".lead", (e) => e.textContent)).not.toContain("Software");
    await page.close();
  });

  test("what comes from a file is text, in every place", async () => {
    const page = await open("hostile", [
      [HOSTILE, hostile],
      ["b.json", made({ cases: { [`matmul ${HOSTILE}`]: 1 }, commit: "c", adapter: { description: HOSTILE } })],
    ]);
    await page.select("#beside", "1");
    expect(await page.evaluate(() => "hacked" in window)).toBe(false);
    expect(await page.$$eval("#report script, #report img", (es) => es.length)).toBe(0);
    expect(await page.$eval("#report", (e) => e.textContent)).toContain(HOSTILE);
    await page.close();
  });

  test.each([390, 320])("no sideways scrolling at %i px, charts as wide as there is room", async (width) => {
    const page = await open(
      "phone",
      [
        ["a.json", whole],
        [`${"long-name-".repeat(20)}.json`, slower],
      ],
      width,
    );
    await page.select("#beside", "1");
    await page.waitForSelector("svg[aria-label^=Change]");
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
    expect(await page.$$eval("svg[role=img]", (svgs) => svgs.filter((s) => s.getBoundingClientRect().right > innerWidth).length)).toBe(0);
    await page.close();
  });

  test("dark on a screen that is, light on paper", async () => {
    const page = await open("dark", [["a.json", whole]]);
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
    expect(await background()).toBe("rgb(21, 23, 26)");
    await page.emulateMediaType("print");
    expect(await background()).toBe("rgb(255, 255, 255)");
    await page.close();
  });
});

test("sizes go with every result of their commit, first runs with that of their adapter and place", () => {
  const { adapter, where } = whole;
  const [a, b] = [made({ cases: { "matmul 1x1x1": 1 } }), made({ cases: { "matmul 1x1x1": 1 }, adapter: { device: "two" } })];
  const size = { suite: "size", commit: "aaa", bundle: whole.bundle },
    first = { suite: "first", commit: "aaa", where, adapter, first: [{ case: "x", contender: "ours", firstMs: 1 }] };
  const files = [
    { name: "b", content: b },
    { name: "size", content: size },
    { name: "a", content: a },
    { name: "first", content: first },
  ];
  expect(readResults(files)).toEqual([
    { name: "b", result: { ...b, bundle: whole.bundle } },
    { name: "a", result: { ...a, bundle: whole.bundle, first: first.first } },
  ]);
  expect(() =>
    readResults([
      { name: "a.json", content: a },
      { name: "size.json", content: { ...size, commit: "zzz" } },
    ]),
  ).toThrow("size.json: expected a result with cases beside it, of commit zzz, got none");
  expect(() =>
    readResults([
      { name: "b.json", content: b },
      { name: "first.json", content: first },
    ]),
  ).toThrow("first.json: expected a result with cases beside it, of commit aaa, of the same adapter in node, got none");
  expect(() =>
    readResults([{ name: "a.json", content: { ...a, cases: [{ ...a.cases[0]!, ours: { ...timing(1), drift: "1" } }] } }]),
  ).toThrow(/cases\.0\.ours: expected times, or an error, got an object/);
});
