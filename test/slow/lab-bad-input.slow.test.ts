/** What somebody may type into the lab's page: it says what is wrong, keeps the text and goes on. */
import { expect, test } from "vitest";
import { builtSite } from "./built-site.ts";
import { openLab, replace, textOf, verdict, WGSL } from "./lab-driver.ts";

const site = builtSite();
const TIMEOUT = 600_000;

test("what does not compile, binds too much or wants a feature that is lacking: said with its line, the last verdict stays, greyed", {
  timeout: TIMEOUT,
}, async () => {
  const page = await openLab(site());
  const { edit } = await verdict(page);
  const status = (says: RegExp) =>
    page.waitForFunction((text) => new RegExp(text).test(document.querySelector("[role=status]")!.textContent!), {}, says.source);
  const old = () => page.$eval("[data-judged]", (card) => [(card as HTMLElement).dataset["judged"], (card as HTMLElement).dataset["old"]]);
  for (const [from, to, says] of [
    ["var m = 0.0;", "var m = 0.0", /^line \d+: expected ';'/],
    [
      "@compute",
      "@group(0) @binding(9) var<storage, read> more: array<f32>;\n@compute",
      /^line 1: expected the bindings read x, .*, got .*read more$/,
    ],
    ["@group(0) @binding(0)", "enable f16;\n@group(0) @binding(0)", /^line 1: extension 'f16' is not allowed/],
  ] as const) {
    await replace(page, WGSL, from, to);
    await status(says);
    console.log(await page.$eval("[role=status]", (e) => e.textContent));
    expect(await old()).toEqual([String(edit), "true"]);
    expect(await page.$$eval(".cm-lint-marker-error", (all) => all.length)).toBeGreaterThan(0);
    expect(await textOf(page)).toContain(to);
    await replace(page, WGSL, to, from);
  }
  expect((await verdict(page, edit)).right).toBe(true);
  await page.close();
});

test("a lost device while an edit is judged: the text stays, the next edit is judged on a new one", { timeout: TIMEOUT }, async () => {
  const page = await openLab(site());
  const { edit } = await verdict(page);
  await replace(page, WGSL, "var m = 0.0;", "var m = 0.0; // lost");
  await page.waitForFunction(() => document.querySelector("[data-judged]")?.getAttribute("data-judged") === "");
  const session = await site().browser.target().createCDPSession();
  await session.send("Browser.crashGpuProcess");
  await page.waitForSelector("[role=alert]");
  console.log(await page.$eval("[role=alert]", (e) => e.textContent));
  expect(await textOf(page)).toContain("// lost");
  await replace(page, WGSL, "// lost", "// found");
  expect((await verdict(page, edit)).right).toBe(true);
  await page.close();
});

// Last: a processor that plays the GPU is held until the browser ends.
test("a loop without an end: given up after a while, the text stays, over a reload too", { timeout: TIMEOUT }, async () => {
  const page = await openLab(site());
  await verdict(page);
  const endless = "var m = 0.0; while (p.rows > 0u) { m += x[0].x; }";
  await replace(page, WGSL, "var m = 0.0;", endless);
  await page.waitForFunction(() => /did not end within 30 s/.test(document.querySelector("[role=alert]")?.textContent ?? ""));
  console.log(await page.$eval("[role=alert]", (e) => e.textContent));
  expect(await textOf(page)).toContain(endless);
  await (await site().browser.target().createCDPSession()).send("Browser.crashGpuProcess"); // what a driver's own limit does
  await page.reload();
  await page.waitForFunction((code) => document.querySelector(".cm-content")?.textContent?.includes(code), {}, endless);
  await replace(page, WGSL, endless, "var m = 0.0;");
  expect((await verdict(page)).right).toBe(true);
  await page.close();
});
