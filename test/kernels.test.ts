/** Every case in Node, on the adapter that set-up found. */
import { describe, test } from "vitest";
import { getDevice } from "../engine/device.ts";
import { lacking, listCases } from "./all-cases.ts";

const { adapter } = getDevice();

for (const { file, cases } of await listCases()) {
  describe(file, () => {
    for (const one of cases) {
      const lacks = lacking(one, adapter.features);
      if (lacks) test.skip(`${one.name} (skipped: the adapter lacks ${lacks})`);
      else test(one.name, one.run);
    }
  });
}
