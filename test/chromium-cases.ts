/** Every case again in a real headless Chromium: the engine as browsers run it. One page for a part of the files, so that two cores share them. */
import { afterAll, describe, expect, test } from "vitest";
import { openChromium, type ChromiumAdapter } from "../cli/node/chromium.ts";
import type { Case } from "../checks/check.ts";
import { lacking, listCases } from "./all-cases.ts";

/**
 * Of the kernels that a case is there with, two per case, and other ones for the next case: a page compiles them for minutes. Node runs every
 * pair, and so does test/slow/chromium.slow.test.ts in a page.
 */
export function fewerKernels(cases: readonly Case[]): Case[] {
  const byReason = new Map<string, Case[]>();
  for (const one of cases) byReason.set(reasonOf(one.name), [...(byReason.get(reasonOf(one.name)) ?? []), one]);
  return [...byReason.values()].flatMap((same, i) =>
    same.filter((_, k) => k === i % same.length || k === (i + Math.max(1, same.length >> 1)) % same.length),
  );
}

/** A case's name without its kernel's: `op (kernel): why`, or `op: why, by kernel`. */
export const reasonOf = (name: string): string => name.replace(/\([^)]*\)|, by [\w-]+$/, "()");

/** Declares the tests of every `of`-th case file, from number `part` on; with every kernel if `everyKernel`. */
export async function declareChromiumCases(part: number, of: number, everyKernel = false): Promise<void> {
  const chromium = await openChromium({ adapter: process.env["TESSERA_CHROMIUM"] as ChromiumAdapter | undefined });
  const { adapter, page } = chromium;
  afterAll(() => chromium.close());

  test("the page has a device of its own, and is isolated", async () => {
    expect(adapter.vendor + adapter.description).not.toBe("");
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  });

  for (const { file, cases } of (await listCases()).filter((_, i) => i % of === part)) {
    const own = everyKernel ? cases : fewerKernels(cases.filter(({ long }) => !long));
    if (own.length === 0) continue; // all of them are long
    describe(`chromium ${file}`, () => {
      for (const one of own) {
        const lacks = lacking(one, adapter.features);
        if (lacks) test.skip(`${one.name} (skipped: the page's adapter lacks ${lacks})`);
        else test(one.name, () => chromium.runModule("/test/all-cases.ts", "runCase", [file, one.name]).then(() => undefined));
      }
    });
  }
}
