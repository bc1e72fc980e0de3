/** `op --file` as a shell sees it: 1 where the kernel is wrong, 2 where it never ends. What else it says is held by test/lab.test.ts. */
import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import opWgslJob from "../../jobs/op-wgsl.ts";
import { memoryHost } from "../memory-host.ts";

const CLI = fileURLToPath(new URL("../../cli/tessera.mjs", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "tessera-op-file-"));
afterAll(() => rmSync(folder, { recursive: true }));

function judge(...args: string[]): Promise<{ code: number; out: string; errors: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, "op", "layerNorm", ...args], { cwd: folder }, (error, out, errors) =>
      resolve({ code: error ? Number(error.code) : 0, out, errors }),
    );
  });
}
let shipped = "";
beforeAll(async () => {
  const { launches } = await opWgslJob(memoryHost({}), { name: "layerNorm" });
  shipped = launches[0]!.wgsl;
});
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return name;
};
const CASE = "layerNorm (register): one row";

test("wrong: exit 1, with the case and the element, and the verdict as JSON", async () => {
  const { code, out, errors } = await judge(
    "--file",
    file("wrong.wgsl", shipped.replace("+ bias[i]", "")),
    "--case",
    CASE,
    "--json",
    "out.json",
  );
  expect(code).toBe(1);
  expect(out).toMatch(/WRONG layerNorm \(register\): one row: y\[\d+\]: expected -?[\d.]+, got -?[\d.]+/);
  expect(errors).toMatch(/tessera op: expected every case that runs layerNorm.forward to hold, got 1 of 1 that do not\n$/);
  const json = JSON.parse(readFileSync(join(folder, "out.json"), "utf8")) as Record<string, unknown>;
  expect(json).toMatchObject({
    op: "layerNorm",
    module: "layerNorm.forward",
    cases: [
      { name: CASE, uses: true, ok: false, values: { ok: false, at: expect.any(Number) }, gradients: { bias: { ok: true } }, faults: [] },
    ],
  });
});

test("never ending: exit 2, after the time that it was given", async () => {
  const text = shipped.replace("var m = 0.0;", "var m = 0.0; while (p.rows > 0u) { m += x[0].x; }");
  const { code, errors } = await judge("--file", file("loop.wgsl", text), "--case", CASE, "--gpu-timeout", "8");
  expect([code, errors.split("\n").at(-2)]).toEqual([
    2,
    "tessera op: expected a kernel that ends, got nothing for 8 s; --gpu-timeout allows for more",
  ]);
});

test("--dbg: what chosen threads saw, without a check", async () => {
  const text = shipped.replace("var m = 0.0;", "var m = 0.0; dbg(row, vec2u(group, li));");
  const { code, out } = await judge("--file", file("dbg.wgsl", text), "--dbg", "1:0-1");
  expect(code).toBe(0);
  const line = text.slice(0, text.indexOf("dbg(")).split("\n").length;
  const wg = Number(/const WG = (\d+)u/.exec(text)![1]);
  expect(out.split("\n").filter((l) => l.startsWith("workgroup "))).toEqual([
    `workgroup 1, thread 0, line ${line}: dbg(${wg}) saw 1, 0`,
    `workgroup 1, thread 1, line ${line}: dbg(${wg + 1}) saw 1, 1`,
  ]);
});

test("--step: a training step with the text and without, in one run", async () => {
  const { code, out } = await judge("--file", file("same.wgsl", shipped), "--case", CASE, "--step", "--json", "step.json");
  expect(code).toBe(0);
  console.log(out.split("\n").find((l) => l.startsWith("training step")));
  const { step } = JSON.parse(readFileSync(join(folder, "step.json"), "utf8")) as { readonly step: Readonly<Record<string, unknown>> };
  expect(step).toMatchObject({ edited: expect.any(Number), verdict: "not told apart" });
});

test("--where chromium: the same verdict from a page", async () => {
  const wrong = file("wrong.wgsl", shipped.replace("+ bias[i]", ""));
  const { code, out } = await judge("--file", wrong, "--case", CASE, "--where", "chromium");
  expect(code).toBe(1);
  expect(out).toMatch(/WRONG layerNorm \(register\): one row: y\[\d+\]: expected -?[\d.]+, got -?[\d.]+/);
});

test("--watch: judges the file at once, and again at each save, a wrong text and one that does not compile too", async () => {
  const path = file("watched.wgsl", shipped);
  const child = spawn(process.execPath, [CLI, "op", "layerNorm", "--file", path, "--case", CASE, "--watch"], { cwd: folder });
  let out = "";
  const heard: (() => void)[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (text) => {
      out += text;
      for (const ask of heard) ask();
    });
  const says = (pattern: RegExp) =>
    new Promise<void>((resolve) => {
      const ask = () => pattern.test(out) && resolve();
      heard.push(ask);
      ask();
    });
  try {
    await says(/1 of 1 cases that run it are right[^]*watching watched\.wgsl/);
    out = "";
    writeFileSync(join(folder, path), shipped.replace("+ bias[i]", ""));
    await says(/watched\.wgsl was saved[^]*WRONG layerNorm \(register\): one row: y\[[^]*watching/);
    out = "";
    writeFileSync(join(folder, path), shipped.replace("var m = 0.0;", "var m = 0.0"));
    await says(/expected WGSL that this adapter runs, got layerNorm.forward: WGSL \d+:\d+[^]*watching/);
    out = "";
    writeFileSync(join(folder, path), shipped);
    await says(/1 of 1 cases that run it are right/);
  } finally {
    child.kill();
  }
});
