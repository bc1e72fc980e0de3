/** Every case in Node, on the adapter that set-up found; in parts, so that several workers share them. */
import { describe, test } from "vitest";
import { getDevice } from "../engine/device.ts";
import { lacking, listCases } from "./all-cases.ts";

/** Declares the tests of every `of`-th case file, from number `part` on. */
export async function declareCases(part: number, of: number): Promise<void> {
  const { adapter } = getDevice();
  for (const { file, cases } of (await listCases()).filter((_, i) => i % of === part)) {
    describe(file, () => {
      for (const one of cases) {
        const lacks = lacking(one, adapter.features);
        if (lacks) test.skip(`${one.name} (skipped: the adapter lacks ${lacks})`);
        else test(one.name, one.run);
      }
    });
  }
}
