/** Every case again in a real headless Chromium: the engine as browsers run it. One page for a part of the files, so that two cores share them. */
import { afterAll, describe, expect, test } from "vitest";
import { openChromium, type ChromiumAdapter } from "../cli/node/chromium.ts";
import type { Case } from "../checks/check.ts";
import { ROW_VARIANTS } from "../kernels/rows/variants.ts";
import { lacking, listCases } from "./all-cases.ts";

/** A case of a row kernel is there once per variant: `op (variant): why`. */
const rowCase = new RegExp(`^(\\w+) \\((${ROW_VARIANTS.join("|")})\\): (.*)$`);

/**
 * Of the variants that a row kernel's case is there with, two per case, and other ones for the next case: a page compiles these kernels for
 * minutes. Node runs every pair, and so does test/slow/chromium.slow.test.ts in a page.
 */
export function fewerRowCases(cases: readonly Case[]): Case[] {
  const byReason = new Map<string, Case[]>();
  for (const one of cases) {
    const [, op, , why] = rowCase.exec(one.name) ?? [];
    const reason = op ? `${op}: ${why}` : one.name;
    byReason.set(reason, [...(byReason.get(reason) ?? []), one]);
  }
  return [...byReason.values()].flatMap((same, i) =>
    same.filter((_, k) => k === i % same.length || k === (i + Math.max(1, same.length >> 1)) % same.length),
  );
}

/** Declares the tests of every `of`-th case file, from number `part` on; of the row kernels' all variants if `everyVariant`. */
export async function declareChromiumCases(part: number, of: number, everyVariant = false): Promise<void> {
  const chromium = await openChromium({ adapter: process.env["TESSERA_CHROMIUM"] as ChromiumAdapter | undefined });
  const { adapter, page } = chromium;
  afterAll(() => chromium.close());

  test("the page has a device of its own, and is isolated", async () => {
    expect(adapter.vendor + adapter.description).not.toBe("");
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  });

  for (const { file, cases } of (await listCases()).filter((_, i) => i % of === part)) {
    describe(`chromium ${file}`, () => {
      for (const one of everyVariant ? cases : fewerRowCases(cases)) {
        const lacks = lacking(one, adapter.features);
        if (lacks) test.skip(`${one.name} (skipped: the page's adapter lacks ${lacks})`);
        else test(one.name, () => chromium.runModule("/test/all-cases.ts", "runCase", [file, one.name]).then(() => undefined));
      }
    });
  }
}
