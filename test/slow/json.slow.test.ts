/** 100,000 damaged files for each reader of JSON: recipe, model, a run's record, a benchmark's result; results in the report page too. */
import type { Browser, Page } from "puppeteer-core";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchBrowser } from "../../cli/node/chromium.ts";
import { ownFilesOnly } from "../../cli/node/vite.ts";
import { fuzzJson, JSON_READERS } from "../train/json-readers.ts";
import type { ShownResults } from "../app/fuzz-report.ts";

const INPUTS = 100_000;
const SEED = 1;
/** Most that the process may grow by while a reader works, in bytes: what is freed late stands beside what is in use. */
const MOST_GROWTH = 2 ** 28;

const residentPeak = () => 1024 * process.resourceUsage().maxRSS;

test.each(Object.entries(JSON_READERS))("%s JSON", { timeout: 1_200_000 }, (name, reader) => {
  const before = residentPeak();
  const { read, refused, slowestMs } = fuzzJson(reader, INPUTS, SEED);
  const growth = residentPeak() - before;
  console.log(`| ${name} JSON | ${read} | ${refused} | ${slowestMs.toFixed(0)} ms | ${(growth / 2 ** 20).toFixed(0)} MiB |`);
  expect(read).toBeGreaterThan(INPUTS / 100);
  expect(refused).toBeGreaterThan(INPUTS / 10);
  expect(slowestMs).toBeLessThan(10_000);
  expect(growth).toBeLessThan(MOST_GROWTH);
});

let browser: Browser;
let page: Page;
beforeAll(async () => {
  browser = await launchBrowser();
  page = await browser.newPage();
  const bundled = await build({
    ...ownFilesOnly,
    root: ".",
    logLevel: "error",
    build: { write: false, lib: { entry: "test/app/fuzz-report.ts", formats: ["es"] } },
  });
  const [{ output }] = bundled as unknown as [{ output: [{ code: string }] }];
  await page.addScriptTag({ type: "module", content: output[0].code });
  await page.waitForFunction("globalThis.showDamaged");
}, 120_000);
afterAll(() => browser?.close());

test("result JSON in the report page", { timeout: 2_400_000 }, async () => {
  const AT_ONCE = 1000;
  let [shown, refused, slowestMs] = [0, 0, 0];
  for (let done = 0; done < INPUTS; done += AT_ONCE) {
    const part = (await page.evaluate(`showDamaged(${AT_ONCE}, ${SEED + done})`)) as ShownResults;
    shown += part.shown;
    refused += part.refused;
    slowestMs = Math.max(slowestMs, part.slowestMs);
  }
  console.log(`| result JSON in the page | ${shown} | ${refused} | ${slowestMs.toFixed(0)} ms | |`);
  expect(shown).toBeGreaterThan(INPUTS / 100);
});
