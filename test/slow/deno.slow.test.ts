/**
 * A second implementation of WebGPU, end to end: wgpu in Deno, with naga as its compiler, on the software adapter that set-up found. Firefox
 * has the same two.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Tested } from "../../checks/doctor.ts";
import { everyKernel } from "../generated-code/every-kernel.ts";

const MINUTE = 60_000;
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tessera-deno-"));
  await promisify(execFile)("npm", ["install", "--silent", "--prefix", folder, "deno@2.9.6"]);
}, 5 * MINUTE);
afterAll(() => rm(folder, { recursive: true }));

/** The lines that a script of deno/ prints. */
async function deno(script: string, ...args: readonly string[]): Promise<string[]> {
  const flags = ["run", "-A", "--unstable-webgpu", "--no-config", "--no-lock", "--node-modules-dir=manual"];
  const run = promisify(execFile)(join(folder, "node_modules/.bin/deno"), [...flags, `test/slow/deno/${script}`, ...args], {
    maxBuffer: 2 ** 26,
  });
  return (await run).stdout.trim().split("\n");
}

test("naga takes every kernel", { timeout: 5 * MINUTE }, async () => {
  // Subgroups are not in wgpu's WebGPU yet: kernels that use them are not chosen there.
  const kernels = everyKernel().filter(({ code }) => !/enable (subgroups|chromium_)/.test(code));
  const file = join(folder, "kernels.json");
  await writeFile(file, JSON.stringify(kernels.map(({ label, code }) => [label, code])));
  const lines = await deno("naga.ts", file);
  expect(lines).toEqual([JSON.stringify({ kernels: kernels.length, refused: 0 })]);
  expect(kernels.length).toBeGreaterThan(300);
});

test("every self-test passes", { timeout: 120 * MINUTE }, async () => {
  const [, ...lines] = await deno("checks.ts");
  const tested = lines.map((line) => JSON.parse(line) as Tested);
  expect(tested.filter(({ result }) => result === "failed")).toEqual([]);
  expect(tested.filter(({ result }) => result === "passed").length).toBeGreaterThan(500);
});
