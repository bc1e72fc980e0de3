/** Tables of the tuner in a page's IndexedDB: found again by other pages of the origin, per adapter, and in use. */
import { afterAll, expect, test } from "vitest";
import type { Hooks } from "../../app/headless.ts";
import { openChromium } from "../../cli/node/chromium.ts";

const chromium = await openChromium();
afterAll(() => chromium.close());

type Checks = typeof import("./tuning-checks.ts");
const inPage = <N extends keyof Checks>(name: N, ...args: Parameters<Checks[N]>) =>
  chromium.runModule("/test/app/tuning-checks.ts", name, args) as ReturnType<Checks[N]>;

/** The same in a page that is opened anew and has no device. */
async function inNewPage<N extends keyof Checks>(name: N, ...args: Parameters<Checks[N]>): Promise<Awaited<ReturnType<Checks[N]>>> {
  const page = await chromium.browser.newPage();
  try {
    await page.goto(chromium.page.url());
    await page.waitForFunction(() => "tessera" in globalThis);
    const outcome = await page.evaluate(
      (fn, values) => (globalThis as unknown as { tessera: Hooks }).tessera.runModule("/test/app/tuning-checks.ts", fn, values),
      name,
      args as unknown[],
    );
    if ("error" in outcome) throw new Error(JSON.stringify(outcome.error));
    return outcome.value as Awaited<ReturnType<Checks[N]>>;
  } finally {
    await page.close();
  }
}

test("nothing is kept at first; what is tuned is told, kept and found by a page opened later", async () => {
  expect(await inPage("savedHere")).toBeNull();
  const { tuning, told } = await inPage("tuned", ["softmax 3x5", "layerNorm 4x6", "softmax 3x5"]);
  expect(told).toEqual(["softmax 3x5 1/2", "layerNorm 4x6 2/2"]);
  expect(Object.keys(tuning.choices)).toEqual(["softmax 3x5", "layerNorm 4x6"]);
  for (const choice of Object.values(tuning.choices)) expect(choice).toMatch(/^(default|shared|register|team\d+|barrier\d+)$/);
  expect(await inPage("savedHere")).toEqual({ source: "this page's IndexedDB", choices: tuning.choices });
});

test("kernels go by the table", async () => {
  expect(await inPage("kernelsBy", "shared-32x32")).toEqual(["gemm.shared"]);
  expect(await inPage("kernelsBy", "register-4x4")).toEqual(["gemm.register"]);
});

test("a newer answer replaces an older one, others stay, in every page of the origin; another driver has a table of its own", async () => {
  expect(
    await inPage("save", "driver 1.2", [
      ["q1", "x"],
      ["q2", "x"],
    ]),
  ).toBe(true);
  expect(await inNewPage("save", "driver 1.2", [["q1", "y"]])).toBe(true);
  expect(await inNewPage("saved", "driver 1.2")).toEqual({ source: "this page's IndexedDB", choices: { q1: "y", q2: "x" } });
  expect(await inPage("saved", "driver 1.2")).toEqual(await inNewPage("saved", "driver 1.2"));
  expect(await inPage("saved", "driver 1.3")).toBeNull();
});

test("two pages that keep answers at the same time lose none", async () => {
  await Promise.all([inPage("saveMany", "driver 2", 20), inNewPage("save", "driver 2", [["other", "y"]])]);
  expect(Object.keys((await inPage("saved", "driver 2"))!.choices).sort()).toEqual(
    [...Array.from({ length: 20 }, (_, i) => `q${i}`), "other"].sort(),
  );
});

test("what is no table is not used, and is replaced", async () => {
  for (const wrong of [
    "text",
    null,
    { format: 2, choices: {}, answers: {} },
    { format: 1, choices: { q: 1 }, answers: {} },
    { format: 1, answers: {} },
  ]) {
    await inPage("spoil", "driver 3", wrong);
    expect(await inPage("saved", "driver 3")).toBeNull();
  }
  await inPage("save", "driver 3", [["q1", "x"]]);
  expect((await inPage("saved", "driver 3"))!.choices).toEqual({ q1: "x" });
});

test("a page that may keep nothing is told so, and nothing breaks", async () => {
  expect(await inPage("withoutStorage")).toEqual({ tuning: null, kept: false });
});

test("a question that no kernel asks is refused", async () => {
  await expect(inPage("tuned", ["gemm 1x2"])).rejects.toThrow(
    'tunePage: expected questions as kernels ask them, e.g. "gemm 1x197x192x768 NT", got "gemm 1x2"',
  );
});
