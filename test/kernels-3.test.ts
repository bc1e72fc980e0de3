import { expect, test } from "vitest";
import { listCases } from "./all-cases.ts";
import { fewerKernels, reasonOf } from "./chromium-cases.ts";
import { declareCases } from "./node-cases.ts";

await declareCases(2, 3);

test("a page runs each case with one or two of its kernels, each kind of kernel somewhere, and every other case", async () => {
  for (const { file, cases } of await listCases()) {
    const fewer = fewerKernels(cases).map((c) => c.name);
    const kinds = new Set(fewer.map(kindOf));
    for (const { name } of cases) {
      const same = fewer.filter((other) => reasonOf(other) === reasonOf(name)).length;
      expect(same, `${file}: ${name}`).toBeGreaterThanOrEqual(1);
      if (reasonOf(name) !== name) expect(kinds, `${file}: ${name}`).toContain(kindOf(name));
      else expect(fewer, file).toContain(name);
    }
  }
});

/** `layerNorm (team`: an operation and its kernel without the kernel's size. */
const kindOf = (name: string): string => `${/^\w*/.exec(name)![0]} (${/(?:\(|, by )([a-z]*)/i.exec(name)?.[1] ?? ""}`;
