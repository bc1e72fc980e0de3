/** The page that measures, as it is built, in headless Chromium: a run, its report, saving and opening, cancelling, lost devices. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, ElementHandle, Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readResults, type ResultFile } from "../../bench/result-file.ts";
import { bundleModule } from "../../bench/rivals.ts";
import { buildBenchPage, serveBenchPage, type Served } from "../../cli/bench/page.ts";
import { launchBrowser } from "../../cli/node/chromium.ts";
import { made } from "../bench/made.ts";

/** Keeps every device that a document opens. */
const KEEP = `{
  globalThis.devices = [];
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...args) {
    const device = await request.apply(this, args);
    globalThis.devices.push(device);
    return device;
  };
}`;
/** Takes every device away as soon as it is there. */
const TAKE = `{
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...args) {
    const device = await request.apply(this, args);
    device.destroy();
    return device;
  };
}`;

describe("the page that measures", { timeout: 120_000 }, () => {
  let folder: string, browser: Browser | undefined, served: Served | undefined;
  const errors: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "bench-page-"));
    const site = join(folder, "site");
    await buildBenchPage(site, [], { version: "1.2.3", commit: "abc" });
    await writeFile(join(site, "rivals/twin.mjs"), await bundleModule("test/app/twin.ts", "chromium"));
    await writeFile(
      join(site, "about.json"),
      JSON.stringify({ version: "1.2.3", commit: "abc", rivals: [{ name: "twin", bytes: 1e6 }], lab: "lab.html" }),
    );
    served = await serveBenchPage(site);
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await served?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function open(script: string = KEEP, width = 1200): Promise<Page> {
    errors.length = 0;
    const page = await browser!.newPage();
    page.on("console", (m) => {
      if (m.type() === "error" || m.type() === "warn") errors.push(m.text());
    });
    page.on("pageerror", (e) => void errors.push(String(e)));
    page.on("request", (r) => {
      if (!r.url().startsWith(served!.url) && !r.url().startsWith("data:") && !r.url().startsWith("blob:"))
        errors.push(`asked for ${r.url()}`);
    });
    await page.setViewport({ width, height: 900, isMobile: width < 500 });
    await page.evaluateOnNewDocument(script);
    await page.goto(served!.url);
    await page.waitForFunction(() => !!document.querySelector("#chosen")?.textContent);
    return page;
  }
  const text = (page: Page, selector: string) => page.$eval(selector, (e) => e.textContent);
  async function start(page: Page, only: string): Promise<void> {
    await page.type("#only", only);
    await page.type("#samples", "3");
    await page.click("[name=rival]");
    await page.waitForSelector("#start:not([disabled])"); // an adapter is known
    await page.click("#start");
    await page.waitForSelector("#cancel:not([hidden])");
  }
  const until = (page: Page, selector: string, pattern: RegExp) =>
    page.waitForFunction(
      (s, p) => new RegExp(p).test(document.querySelector(s)!.textContent!),
      { timeout: 60_000 },
      selector,
      pattern.source,
    );
  const ended = (page: Page) => page.waitForSelector("#cancel[hidden]", { timeout: 100_000 });
  async function saved(page: Page): Promise<ResultFile> {
    const into = await mkdtemp(join(folder, "saved-"));
    const cdp = await page.createCDPSession();
    await cdp.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: into, eventsEnabled: true });
    const complete = new Promise((resolve) =>
      cdp.on("Browser.downloadProgress", ({ state }) => {
        if (state === "completed") resolve(null);
      }),
    );
    await page.click("#save");
    await complete;
    const [file] = await readdir(into);
    expect(file).toMatch(/^\w+-\w+-browser\.json$/);
    return readResults([{ name: file!, content: JSON.parse(await readFile(join(into, file!), "utf8")) }])[0]!.result;
  }
  const loseAll = async (page: Page): Promise<void> => {
    const frame = page.frames().find((f) => f.url().endsWith("/frame.html"))!;
    await frame.evaluate(() => {
      for (const device of (globalThis as unknown as { devices: GPUDevice[] }).devices) device.destroy();
    });
  };

  test("a run: the adapter named, progress, the report, the contract's JSON saved, opened again and compared", async () => {
    const page = await open();
    expect(await text(page, "#adapter")).toMatch(/^Adapter: .+/);
    expect(await text(page, "#chosen")).toMatch(/^\d\d cases for this adapter/);
    await start(page, "softmax 12x197x197");
    expect(await text(page, "#chosen")).toMatch(/^2 cases/);
    await until(page, "#stage", /Case 2 of 2 · softmax 12x197x197 fwd\+bwd · about \d+:\d\d left/);
    expect(await text(page, "#latest")).toMatch(/^softmax 12x197x197: Tessera [\d.]+ ms, twin [\d.]+ ms \([\d.]+×\)$/);
    await ended(page);
    expect(await text(page, "#stage")).toMatch(/^2 cases measured in \d+:\d\d\.$/);
    expect(await page.$$("iframe")).toEqual([]);
    await page.waitForSelector("#report svg[aria-label^=Kernels]");
    expect(await page.$$eval("#cases tbody tr", (rows) => rows.length)).toBe(4);
    const result = await saved(page);
    expect(result).toMatchObject({
      where: "browser",
      commit: "abc",
      versions: { "tessera-gpu": "1.2.3", twin: "1.0" },
      rivalFlags: { twin: { of: "ours" } },
      absent: {},
      browser: { isolated: true },
    });
    expect(result.notRun).toBeUndefined();
    expect(result.ceilings.fmaGFlops).toBeGreaterThan(0);
    expect(result.cases.map((c) => c.name)).toEqual(["softmax 12x197x197", "softmax 12x197x197 fwd+bwd"]);
    for (const c of result.cases) {
      expect(c.ours).toMatchObject({ runsPerSample: expect.any(Number), medianMs: expect.any(Number) });
      expect(c.paired["twin"]!.ratio).toBeGreaterThan(0);
      // The same operations on the same adapter.
      expect(c.difference).toBeLessThan(1e-5);
    }
    // Each figure explained, with the way to the lab.
    await page.click("#cases .press");
    const explained = await page.$eval("[aria-label='A figure explained']", (e) => e.textContent!);
    expect(explained).toMatch(/Launches\d+ kernels? in one run, counted\./);
    expect(explained).toContain("Memory3.73 MB by the shapes");
    expect(await page.$eval("[aria-label='A figure explained'] a", (a) => a.getAttribute("href"))).toBe(
      "lab.html#op=softmax&sizes=12x197x197",
    );
    // A score beside the committed result with the most cases in common.
    await page.waitForSelector("#scores");
    expect(await text(page, "#scores caption")).toMatch(/^Score beside (swiftshader-chromium|llvmpipe-node)(-tfjs)?$/);
    expect(await page.$$eval("#scores tbody tr", (rows) => rows.map((row) => [...row.children].map((c) => c.textContent)))).toEqual([
      ["Kernels", expect.stringMatching(/^[\d.,]+$/), expect.stringMatching(/^[\d.,]+–[\d.,]+$/), "2"],
      ["All", expect.stringMatching(/^[\d.,]+$/), expect.stringMatching(/^[\d.,]+–[\d.,]+$/), "2"],
    ]);
    // The result as a link: whole in another tab; cut, it is refused and nothing is lost.
    await page.click("#link");
    await until(page, "#said", /The link holds the whole result/);
    const address = page.url();
    const other = await open();
    await other.goto(address);
    await other.reload();
    await other.waitForSelector("#cases");
    expect(await saved(other)).toEqual(result);
    await other.evaluate((cut) => void (location.hash = cut), new URL(address).hash.slice(0, -9));
    await until(other, "#said", /bench: expected a whole link, got one that was cut or changed/);
    expect(await other.$$eval("#cases tbody tr", (rows) => rows.length)).toBe(4);
    await other.close();
    // Beside an earlier one of the same kind, and a file that is none.
    await writeFile(join(folder, "earlier.json"), JSON.stringify({ ...result, commit: "before" }));
    await writeFile(join(folder, "no.json"), `{"cases": 1}`);
    const files = (await page.$("#files")) as ElementHandle<HTMLInputElement>;
    await files.uploadFile(join(folder, "earlier.json"));
    await page.waitForSelector("#beside");
    await page.select("#beside", "1");
    await page.waitForSelector("svg[aria-label^=Change]");
    expect(await text(page, ".verdict")).toMatch(/^No regression: 0 slower, 0 faster, \d the same/);
    await files.uploadFile(join(folder, "no.json"));
    await until(page, "#said", /no\.json: no result of the benchmark/);
    expect(errors).toEqual([]);
    await page.close();
  });

  test("a sustained run on a clock that goes 200 times as fast: windows, a chart, stopped at any time, saved and opened again", async () => {
    const page = await open(`{ const now = performance.now.bind(performance); performance.now = () => 200 * now(); }`);
    await page.waitForSelector("#sustain:not([disabled])");
    expect(await page.$eval("[name=minutes]", (e) => (e as HTMLInputElement).value)).toBe("10");
    await page.select("[name=model]", "forward deit_dim96_depth4_distilled_patch4_32 B8");
    await page.click("#sustain");
    await page.waitForSelector("#live svg", { timeout: 60_000 });
    expect(await text(page, "#stage")).toMatch(/images\/s · about \d+:\d\d left/);
    await page.click("#cancel");
    await ended(page);
    expect(await page.$$("iframe")).toEqual([]);
    await page.waitForSelector("#report [aria-label=Sustained] svg");
    const result = await saved(page);
    expect(result.sustained).toMatchObject({ imagesPerRun: 8, seconds: 600, stopped: "Stopped" });
    expect(result.sustained!.windows[0]!.seconds).toBeGreaterThanOrEqual(10);
    await writeFile(join(folder, "sustained.json"), JSON.stringify(result));
    const other = await open();
    await ((await other.$("#files")) as ElementHandle<HTMLInputElement>).uploadFile(join(folder, "sustained.json"));
    await other.waitForSelector("#report [aria-label=Sustained] svg");
    expect(errors).toEqual([]);
    await other.close();
    await page.close();
  });

  test("cancelled at once, with what there is", async () => {
    const page = await open();
    await start(page, "");
    await until(page, "#latest", /ms/);
    await page.click("#cancel");
    await ended(page);
    const total = Number(/\d+/.exec((await text(page, "#chosen"))!)![0]);
    const result = await saved(page);
    expect(result.cases.length + result.notRun!.length).toBe(total);
    expect(result).toMatchObject({ stopped: "Cancelled" });
    expect(await text(page, "#said")).toBe(
      `Cancelled. What was measured is kept (${result.cases.length} case${result.cases.length === 1 ? "" : "s"}).`,
    );
    expect(await text(page, "#not-run")).toContain(`${result.notRun!.length} cases not run: Cancelled.`);
    expect(errors).toEqual([]);
    // And again from the start.
    expect(await page.$eval("#start", (b) => (b as HTMLButtonElement).disabled)).toBe(false);
    await page.close();
  });

  test("a device that is lost costs its case; the others are kept and go on", async () => {
    const page = await open();
    await start(page, "788x192");
    await until(page, "#stage", /Case 2 of 4/);
    await loseAll(page);
    await until(page, "#said", /Device lost \(destroyed\).*\. What was measured is kept \(2 cases\); the rest follows on a new device\./);
    await ended(page);
    const result = await saved(page);
    expect(result.notRun).toBeUndefined();
    expect(result.cases.map((c) => c.name)).toEqual([
      "layerNorm 788x192",
      "layerNorm 788x192 fwd+bwd",
      "linear 788x192x768",
      "linear 788x192x768 fwd+bwd",
    ]);
    expect(result.cases.map((c) => ("error" in c.ours ? /device lost/.test(c.ours.error) : "twin" in c.paired))).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(result.cases.map((c) => "error" in c.ours)).toEqual([false, true, false, false]);
    expect(await text(page, "#failures")).toContain("device lost");
    await page.close();
  });

  test("devices that are lost again and again: it gives up and says so", async () => {
    const page = await open(TAKE);
    await start(page, "softmax 12x197x197");
    await ended(page);
    expect(await text(page, "#stage")).toBe("Nothing was measured.");
    expect(await page.$$eval("#said li", (ls) => ls.map((l) => l.textContent))).toEqual([
      ...Array(3).fill(expect.stringMatching(/^Device lost.*It starts again on a new device\.$/)),
      expect.stringMatching(/^Device lost/),
    ]);
    await page.close();
  });

  test("without WebGPU it says so, and shows results of others; on a phone nothing scrolls sideways", async () => {
    const page = await open(`Object.defineProperty(Navigator.prototype, "gpu", { value: undefined });`, 390);
    expect(await text(page, "#adapter")).toContain("no WebGPU");
    expect(await page.$eval("#start", (b) => (b as HTMLButtonElement).disabled)).toBe(true);
    await writeFile(join(folder, "one.json"), JSON.stringify(made({ cases: { "matmul 64x64x64": 2 } })));
    await writeFile(join(folder, "two.json"), JSON.stringify(made({ cases: { "matmul 64x64x64": 1 } })));
    await ((await page.$("#files")) as ElementHandle<HTMLInputElement>).uploadFile(join(folder, "one.json"), join(folder, "two.json"));
    await page.waitForSelector("#report svg[role=img]");
    await page.select("#beside", "1");
    await page.waitForSelector("svg[aria-label^=Change]");
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
    expect(errors).toEqual([]);
    await page.close();
  });
});
