/** The same text is never told apart from itself, a slower one always is: layer norm's forward, as the command times it. Figures go into RESULTS.md. */
import { expect, test } from "vitest";
import { opNamed } from "../../checks/catalog.ts";
import { editsIn } from "../../jobs/lab/module.ts";
import { timeEdit } from "../../jobs/lab/time.ts";
import opWgslJob from "../../jobs/op-wgsl.ts";
import { memoryHost } from "../memory-host.ts";

const shipped = (await opWgslJob(memoryHost({}), { name: "layerNorm" })).launches.map(({ kernel, wgsl }) => ({
  label: kernel,
  code: wgsl,
}));
const [{ code }] = shipped as [(typeof shipped)[number]];
const ceilings = () => Promise.resolve({ copyGBps: 1, fmaGFlops: 1 });

async function verdict(text: string): Promise<string> {
  const { time } = (await timeEdit(opNamed("layerNorm"), editsIn(text, shipped), { ceilings }))!;
  console.log(`${time.ratio} (${time.ratioRange.join(" to ")}): ${time.verdict}`);
  return time.verdict;
}

test("the same text: not told apart, ten times of ten", async () => {
  const found: string[] = [];
  for (let i = 0; i < 10; i++) found.push(await verdict(code));
  expect(found).toEqual(Array(10).fill("not told apart"));
});

// Another walk over the row, which adds nothing: about a fifth of the kernel's time.
const SLOWER = code.replace(
  "m /= f32(p.len * 4u);",
  "var idle = 0.0; for (var i = 0u; i < p.len; i += 1u) { idle = max(idle, abs(x[first + i % p.len].x)); } m += min(0.0, idle);\n    m /= f32(p.len * 4u);",
);

test("a slower text: told slower, ten times of ten", async () => {
  expect(SLOWER).not.toBe(code);
  const found: string[] = [];
  for (let i = 0; i < 10; i++) found.push(await verdict(SLOWER));
  expect(found).toEqual(Array(10).fill("slower"));
});
