/** Every case again in a real headless Chromium: the engine as browsers run it. One page for a part of the files, so that two cores share them. */
import { afterAll, describe, expect, test } from "vitest";
import { openChromium, type ChromiumAdapter } from "../cli/node/chromium.ts";
import { lacking, listCases } from "./all-cases.ts";

/** Declares the tests of every `of`-th case file, from number `part` on. */
export async function declareChromiumCases(part: number, of: number): Promise<void> {
  const chromium = await openChromium({ adapter: process.env["TESSERA_CHROMIUM"] as ChromiumAdapter | undefined });
  const { adapter, page } = chromium;
  afterAll(() => chromium.close());

  test("the page has a device of its own, and is isolated", async () => {
    expect(adapter.vendor + adapter.description).not.toBe("");
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  });

  for (const { file, cases } of (await listCases()).filter((_, i) => i % of === part)) {
    describe(`chromium ${file}`, () => {
      for (const one of cases) {
        const lacks = lacking(one, adapter.features);
        if (lacks) test.skip(`${one.name} (skipped: the page's adapter lacks ${lacks})`);
        else test(one.name, () => chromium.runModule("/test/all-cases.ts", "runCase", [file, one.name]).then(() => undefined));
      }
    });
  }
}
