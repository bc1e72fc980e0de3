/** The page distil, driven as a person would: 200 steps while the page stays free; pause, reload, go on; a branch with another rate. Figures go into RESULTS.md. */
import type { Page } from "puppeteer-core";
import { expect, test } from "vitest";
import { longestTask } from "./longest-task.ts";
import { builtSite, press } from "./built-site.ts";

const STEPS = 200;
/** Steps at the beginning and after those that are traced: all would be a trace of gigabytes. */
const TRACED = 20;
const SECONDS = 1500;
/** Milliseconds of processor time: what a browser calls a long task. */
const LONG = 50;

const site = builtSite();

const stepOf = (page: Page) => page.$eval("[data-step]", (e) => Number((e as HTMLElement).dataset["step"]));

const reached = (page: Page, step: number) =>
  page.waitForFunction(
    (n) => Number(document.querySelector<HTMLElement>("[data-step]")?.dataset["step"]) >= n,
    { timeout: 1000 * SECONDS },
    step,
  );

const says = (page: Page, text: string) =>
  page.waitForFunction((t) => document.querySelector("[role=status]")?.textContent === t, { timeout: 1000 * SECONDS }, text);

test("200 steps; a pause and a reload keep the curve; a branch begins from the paused student", { timeout: 3000 * SECONDS }, async () => {
  const page = await site().browser.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  await page.goto(`${site().url}distil.html`, { waitUntil: "load" });
  await page.waitForSelector("section[aria-label=Settings]");
  await press(page, "Start");
  const early = await longestTask(page, () => reached(page, TRACED));
  await reached(page, STEPS);
  const late = await longestTask(page, () => reached(page, STEPS + TRACED));
  const ms = Math.max(early.ms, late.ms);
  console.log(
    `${STEPS + TRACED} steps: of ${early.tasks + late.tasks} tasks of the page's own thread the longest took ${ms.toFixed(1)} ms of processor time`,
  );

  // A step's time, launch by launch.
  await page.waitForSelector("[data-launches]");
  const launches = await page.$eval("[data-launches]", (e) => Number((e as HTMLElement).dataset["launches"]));
  const shares = await page.$$eval("[data-launches] tbody tr", (rows) =>
    rows.map((row) => [...row.children].map((cell) => cell.textContent!)),
  );
  console.log(
    `a step of ${launches} launches: ${shares
      .slice(0, 3)
      .map(([kernel, , each, share]) => `${kernel} ${each} ms, ${share}`)
      .join("; ")}`,
  );
  expect(shares.reduce((sum, row) => sum + Number(row[1]), 0)).toBe(launches);
  expect(launches).toBeGreaterThan(50);
  await page.waitForSelector('section[aria-label="Where a step\'s time goes"] canvas');

  await press(page, "Pause");
  await says(page, "paused");
  const paused = await stepOf(page);
  await page.reload({ waitUntil: "load" });
  await page.waitForSelector("[data-step]");
  expect(await stepOf(page)).toBe(paused);
  await press(page, "Go on");
  await reached(page, paused + 10);
  await press(page, "Pause");
  await says(page, "paused");

  await page.$eval("input[inputmode=decimal]", (e) => {
    (e as HTMLInputElement).value = "0.0003";
    e.dispatchEvent(new Event("change", { bubbles: true }));
  });
  const before = await page.$eval("section[aria-label=Accuracy]", (e) => e.textContent);
  await press(page, "Branch");
  await page.waitForFunction(() => /branched at step \d+/.test(document.body.textContent!), { timeout: 60_000 });
  await reached(page, 10);
  const runs = await page.$$eval("section[aria-label='Runs side by side'] tbody tr td:first-child", (cells) =>
    cells.map((c) => c.textContent),
  );
  expect(runs).toHaveLength(2);
  expect(runs[0]).toMatch(/rate 0\.0003, branched at step 2\d\d$/);
  expect(before).toContain("soft labels");
  expect(problems).toEqual([]);
  expect(ms).toBeLessThan(LONG);
});
