/** The lab's page, driven as a person would: verdicts and their time, a new operation from an empty form, dbg, a training step, link, history. Figures go into RESULTS.md. */
import type { Page } from "puppeteer-core";
import { expect, test } from "vitest";
import { workedExample } from "../../app/site/lab/worked-example.ts";
import { draftFiles } from "../../jobs/lab/draft-file.ts";
import { PLANTED } from "../lab/faults.ts";
import { builtSite, press } from "./built-site.ts";
import { insert, openLab, replace, textOf, until, verdict, WGSL } from "./lab-driver.ts";

const SECONDS = 300;
const site = builtSite();

const open = (hash = ""): Promise<Page> => openLab(site(), hash);

test("an edit's verdict: values, gradients, time and roofline; what its dbg saw; a training step", {
  timeout: 3000 * SECONDS,
}, async () => {
  const page = await open();
  const first = await verdict(page);
  let { edit } = first;
  console.log(`first verdict: ${first.says}`);
  for (let i = 0; i < 5; i++) {
    const from = performance.now();
    await replace(page, WGSL, "var m = 0.0;", `var m = 0.0; // ${i}\n`);
    const next = await verdict(page, edit);
    console.log(`layer norm, edit ${i}: ${((performance.now() - from) / 1000).toFixed(2)} s with the pause of 0.35 s: ${next.says}`);
    expect(next.right).toBe(true);
    edit = next.edit;
  }
  expect(await page.$eval("[data-roofline]", (e) => Number((e as HTMLElement).dataset["roofline"]))).toBeGreaterThan(0);
  await replace(page, WGSL, "var m = 0.0;", "var m = 0.0; dbg(row, vec2f(m, 0.5));");
  ({ edit } = await verdict(page, edit));
  await press(page, "Run once");
  await page.waitForSelector("[data-seen]");
  const rows = await page.$$eval("[data-seen] tbody tr", (all) =>
    all.map((row) => [...row.querySelectorAll("td")].map((cell) => cell.textContent)),
  );
  expect(rows.map(([workgroup, thread, , i, value]) => [workgroup, thread, i, value])).toEqual(
    [0, 1, 2, 3].map((t) => ["0", String(t), String(t), "0, 0.5"]),
  );
  await press(page, "In a training step");
  await page.waitForSelector("[data-step]");
  console.log(await page.$eval("[data-step]", (e) => e.textContent));
  await page.close();
});

test("what is typed quickly stands as it was typed", { timeout: SECONDS * 1000 }, async () => {
  const page = await open();
  const { edit } = await verdict(page);
  const before = await textOf(page);
  await page.click(`[data-editor="${WGSL}"] .cm-content`);
  await page.keyboard.down("Control");
  await page.keyboard.press("Home");
  await page.keyboard.up("Control");
  await page.keyboard.type("// typed by hand, a key after the other\n");
  expect((await verdict(page, edit)).right).toBe(true);
  expect(await textOf(page)).toBe(`// typed by hand, a key after the other\n${before}`);
  await page.close();
});

test("matmul's verdict", { timeout: 3000 * SECONDS }, async () => {
  const page = await open();
  await page.waitForSelector("[data-op]:enabled");
  await page.select("[data-op]", "matmul");
  await page.waitForFunction(() => document.querySelector("[aria-label=Verdict] tbody td")?.textContent?.includes("matmul"));
  let { edit } = await verdict(page);
  for (let i = 0; i < 3; i++) {
    const from = performance.now();
    await insert(page, WGSL, `// ${i}\n`);
    const next = await verdict(page, edit);
    console.log(`matmul, edit ${i}: ${((performance.now() - from) / 1000).toFixed(2)} s: ${next.says}`);
    edit = next.edit;
  }
  await page.close();
});

const planted = Object.entries(PLANTED).flatMap(([kernel, { faults }]) =>
  (Object.keys(faults) as (keyof typeof faults)[]).map((fault) => [kernel, fault] as const),
);

test.each(planted)("planted in %s, %s: named with case and element", { timeout: 3000 * SECONDS }, async (kernel, fault) => {
  const { op, by, module, faults } = PLANTED[kernel]!;
  const [from, to] = faults[fault]!;
  const page = await open();
  await page.waitForSelector("[data-op]:enabled");
  const shown = await page.$eval("[data-op]", (e) => (e as HTMLSelectElement).value);
  if (shown !== op) await page.select("[data-op]", op); // chosen again, its list would be loaded anew
  const start = `${module}, `;
  await page.waitForFunction(
    (label) => [...document.querySelectorAll<HTMLOptionElement>(".lab-kernel option")].some(({ value }) => value.startsWith(label)),
    {},
    start,
  );
  const kernels = await page.$$eval(".lab-kernel option", (all) => all.map((option) => (option as HTMLOptionElement).value));
  for (const name of kernels.filter((one) => one.startsWith(start) && one.includes(by))) {
    await page.select(".lab-kernel select", name);
    if ((await textOf(page)).includes(from)) break;
  }
  await replace(page, WGSL, from, to);
  await page.waitForSelector(".lab-verdict .error"); // the shipped text, of which there may be a verdict already, has none
  const { right } = await verdict(page);
  const says = await page.$eval(".lab-verdict .error", (e) => e.textContent);
  console.log(`| ${kernel} | ${fault} | ${says} |`);
  expect(right).toBe(false);
  expect(says).toMatch(/\[\d+\]|element \d+/);
  await page.close();
});

test("a new operation from an empty form; its files; link and history bring every byte back", { timeout: 3000 * SECONDS }, async () => {
  const page = await open();
  await page.waitForSelector("[data-op]:enabled");
  await page.select("[data-op]", "new operation");
  await page.waitForSelector("[data-draft]");
  const type = async (within: string, field: string, value: string) => {
    await page.$eval(`${within} [data-field="${field}"]`, (e) => ((e as HTMLInputElement).value = ""));
    await page.type(`${within} [data-field="${field}"]`, value);
  };
  const { name, inputs, output, attrs, sizes, timed, formula, reference, kernels } = workedExample;
  await type(".lab-draft", "Name", name);
  await type(".lab-draft", "Inputs and their shapes", inputs);
  await type(".lab-draft", "Output and its shape", output);
  await type(".lab-draft", "Attributes", attrs);
  await type(".lab-draft", "Sizes to check", sizes);
  await type(".lab-draft", "Size to time", timed);
  await type(".lab-draft", "Formula, for the file", formula);
  await insert(page, "Reference in JavaScript", reference);
  for (const [i, kernel] of kernels.entries()) {
    if (i > 0) await press(page, "Add a kernel");
    const at = `[data-kernel="${i}"]`;
    await page.waitForSelector(at);
    await page.select(`${at} h2 select`, kernel.pass);
    await type(at, "Reads", kernel.reads);
    await type(at, "Writes", kernel.writes);
    await type(at, "Threads", kernel.count);
    await insert(page, `Body of kernel ${i + 1}`, kernel.body);
  }
  await page.waitForFunction(
    () =>
      document.querySelectorAll(".lab-verdict tbody tr").length === 3 && document.querySelectorAll(".lab-verdict thead th").length === 4,
  );
  const { right, says, edit } = await verdict(page);
  console.log(`rmsNorm, typed: ${says}`);
  expect(right).toBe(true);
  const files = await page.$$eval("[data-file]", (all) =>
    all.map((file) => ({ path: (file as HTMLElement).dataset["file"], text: file.querySelector("pre")!.textContent })),
  );
  expect(files).toEqual(draftFiles(workedExample));

  await replace(page, "Body of kernel 1", "* weight[i];", "* weigt[i];");
  await page.waitForFunction(() => /^kernel 1, line 6: .*weigt/.test(document.querySelector("[role=status]")!.textContent!));
  await replace(page, "Body of kernel 1", "* weigt[i];", ";");
  const wrong = await verdict(page, edit);
  expect(wrong).toMatchObject({ right: false, says: "wrong in 3 of 3 cases" });
  expect(await page.$eval(".lab-verdict .error", (e) => e.textContent)).toMatch(/^rmsNorm: 1x5: y\[\d\]: expected -?[\d.]+, got -?[\d.]+/);

  await press(page, "Link");
  await page.waitForFunction(() => location.hash.length > 1);
  const hash = await page.evaluate(() => location.hash);
  const body = await textOf(page, "Body of kernel 1");
  await page.close();
  const again = await open(hash);
  await verdict(again);
  expect(await textOf(again, "Body of kernel 1")).toBe(body);
  expect(await textOf(again, "Reference in JavaScript")).toBe(reference);
  // The verdict before the fault, from the history.
  await again.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>("[data-history] tbody tr")]
      .find((row) => row.textContent!.includes("right in 3 cases"))!
      .querySelector("button")!
      .click(),
  );
  await until(again, "Body of kernel 1", kernels[0]!.body);
  await again.close();
  const cut = await open(hash.slice(0, -40));
  await cut.waitForFunction(() => /cut or changed/.test(document.querySelector("[role=alert]")?.textContent ?? ""));
  await cut.close();
});

test("an edit of a shipped kernel comes back by its link to the byte", { timeout: 3000 * SECONDS }, async () => {
  const page = await open();
  const { edit } = await verdict(page);
  await replace(page, WGSL, "var m = 0.0;", "var m = 0.0; // naïve, 平均, \\u0000 `${x}`\t\n");
  await verdict(page, edit);
  const code = await textOf(page);
  await press(page, "Link");
  await page.waitForFunction(() => location.hash.length > 1);
  const url = await page.evaluate(() => location.hash);
  await page.close();
  const again = await open(url);
  await verdict(again);
  expect(await textOf(again)).toBe(code);
  await again.close();
});
