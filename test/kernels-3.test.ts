import { expect, test } from "vitest";
import { listCases } from "./all-cases.ts";
import { fewerRowCases } from "./chromium-cases.ts";
import { declareCases } from "./node-cases.ts";

await declareCases(2, 3);

test("a page runs two variants of each row kernel's case, every variant of each op somewhere, and every other case", async () => {
  for (const { file, cases } of await listCases()) {
    const fewer = fewerRowCases(cases).map((c) => c.name);
    const leftOut = cases.map((c) => c.name).filter((name) => !fewer.includes(name));
    const shown = (name: string) => /^(\w+ \([a-z]+)\d*\): /.exec(name)?.[1]; // layerNorm (team
    for (const name of leftOut) {
      expect(name, file).toMatch(/^\w+ \((shared|register|team\d+|barrier\d+)\): /);
      expect(
        fewer.filter((f) => f.endsWith(name.slice(name.indexOf("): "))) && f.startsWith(name.split(" ")[0]!)),
        name,
      ).toHaveLength(2);
      expect(
        fewer.some((f) => shown(f) === shown(name)),
        name,
      ).toBe(true);
    }
  }
});
