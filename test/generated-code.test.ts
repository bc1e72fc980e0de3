/**
 * What Tint makes of the hot kernels: it gives a loop that it cannot prove finite a counter, and clamps an index that it cannot
 * prove in range. test/generated-code/figures.txt says how many of each a kernel has; a kernel that gains one fails here.
 * After a change that is meant: `npx vitest run test/generated-code.test.ts -u`, and look at what changed.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { dumpedSpirv, figuresOf, type Figures } from "./generated-code/spirv.ts";

let folder = "";
let figures: readonly (readonly [string, Figures])[] = [];
let otherBackend = false;

// In a process of its own: Dawn prints to stdout, and its toggles are chosen once. The driver is the one that this process has chosen.
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tessera-generated-"));
  const names = join(folder, "names.json");
  // Into a file: a full pipe loses what Dawn prints.
  const printed = await open(join(folder, "printed"), "w+");
  const child = spawn(process.execPath, ["--import", "./cli/typescript.mjs", "test/generated-code/dump.ts", names], {
    stdio: ["ignore", printed.fd, "inherit"],
  });
  const [code] = (await once(child, "close")) as [number | null];
  await printed.close();
  if (code !== 0) throw new Error(`expected dump.ts to end well, got exit code ${code}`);
  const stdout = await readFile(join(folder, "printed"), "utf8");
  otherBackend = /Dumped (MSL|HLSL|GLSL)/i.test(stdout); // Metal, Direct3D: another language, and the same transforms before it
  if (otherBackend) return;
  const spirv = dumpedSpirv(stdout);
  figures = (JSON.parse(await readFile(names, "utf8")) as [string, string][]).map(([code, name]) => {
    const text = spirv.get(code.trim());
    if (text === undefined) throw new Error(`expected the generated code of ${name} in what Dawn printed, got none`);
    return [name, figuresOf(text)] as const;
  });
});
afterAll(() => rm(folder, { recursive: true }));

const row = (...cells: readonly (string | number)[]) =>
  `${String(cells[0]).padEnd(54)}${cells
    .slice(1)
    .map((c) => String(c).padStart(12))
    .join("")}`;

test("injected loop counters and clamps per hot kernel are as recorded", async ({ skip }) => {
  if (otherBackend) skip("Dawn prints SPIR-V on Vulkan only");
  expect(figures.length).toBeGreaterThan(100);
  const table = [
    row("kernel", "inner loops", "counted", "outer loops", "counted", "clamped: wg", "own arrays"),
    ...figures.map(([name, f]) => row(name, f.inner, f.innerCounted, f.outer, f.outerCounted, f.workgroupClamps, f.ownClamps)),
  ];
  await expect(`${table.join("\n")}\n`).toMatchFileSnapshot("generated-code/figures.txt");
});

test("what a GPU runs most is clean: shared tiles and attention, turn by turn and index by index", ({ skip }) => {
  if (otherBackend) skip("Dawn prints SPIR-V on Vulkan only");
  const hottest = figures.filter(([name]) => /^gemm\.shared|^attention\.\w+ shared.* for a GPU/.test(name));
  expect(hottest.length).toBeGreaterThan(40);
  expect(hottest.filter(([, f]) => f.innerCounted > 0 || f.workgroupClamps + f.ownClamps > 0).map(([name]) => name)).toEqual([]);
});

test("sums and maxima over a workgroup are clean", ({ skip }) => {
  if (otherBackend) skip("Dawn prints SPIR-V on Vulkan only");
  const reducing = figures.filter(([name]) => /^(softmax|logSoftmax|layerNorm|batchNorm|crossEntropy|sum|gradNorm)\b/.test(name));
  expect(reducing.length).toBeGreaterThan(20);
  expect(reducing.filter(([, f]) => f.workgroupClamps + f.ownClamps > 0).map(([name]) => name)).toEqual([]);
});
