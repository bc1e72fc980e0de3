/** `tune` through the command line: the table it keeps is found again, and a damaged one is not used. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import type { Answer } from "../../bench/tune/tune.ts";
import { main } from "../../cli/main.ts";
import { saveTuning, savedTuning, tuningFile } from "../../cli/node/tuning-cache.ts";
import type { AdapterDescription } from "../../engine/device.ts";
import { rowVariants } from "../../kernels/rows/variants.ts";

let folder = "";
const before = process.env["TESSERA_CACHE"];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tessera-tune-"));
  process.env["TESSERA_CACHE"] = folder;
});
afterEach(() => void vi.restoreAllMocks());
afterAll(async () => {
  if (before === undefined) delete process.env["TESSERA_CACHE"];
  else process.env["TESSERA_CACHE"] = before;
  await rm(folder, { recursive: true });
});

async function tessera(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = "",
    stderr = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => ((stderr += text), true));
  vi.spyOn(process.stdout, "write").mockImplementation((text) => ((stdout += text), true));
  return { code: await main(args), stdout, stderr };
}

const adapter: AdapterDescription = {
  vendor: "v",
  architecture: "a",
  device: "d",
  description: "driver 1.2",
  software: false,
  features: [],
};
const answer = (question: string, choice: string): Answer => ({ question, choice, flops: 1, gain: 2, measured: [] });

test("tune measures a shape, prints it and keeps it; the table is then in use", async () => {
  const { code, stdout, stderr } = await tessera("tune", "--op", "softmax", "--shape", "3x5");
  expect(stderr).not.toContain("expected");
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^softmax 3x5: (default|shared|register) [\d.e-]+ ms.*\n1 shapes, [01] with a faster kernel than the default; kept in .*\.json\n$/,
  );
  const [file] = await readdir(join(folder, "tuning"));
  const table = JSON.parse(await readFile(join(folder, "tuning", file!), "utf8"));
  expect(Object.keys(table.choices)).toContain("softmax 3x5");
  expect(table.answers["softmax 3x5"].measured.length).toBe(1 + rowVariants(5).length);
  const bench = await tessera("bench", "--suite", "kernels", "--cases", "softmax", "--quick", "--against", "none", "--samples", "3");
  expect(bench.stderr).toMatch(new RegExp(`kernels: \\d+ shapes tuned, by .*${file}`));
}, 120_000);

test("bad usage is one line", async () => {
  for (const [args, message] of [
    [["--op", "softmax"], "expected --op and --shape together, got --op alone"],
    [
      ["--op", "softmax", "--shape", "3x"],
      'expected positive integers with x between them, e.g. 197x192x768 for --shape <sizes>, got "3x"',
    ],
    [["--op", "matmul", "--shape", "3x4"], "expected sizes ..xMxKxN, got 3x4"],
    [["--op", "nope", "--shape", "3"], "expected one of adamw, attention, "],
    [["--model", "deit_huge"], 'got "deit_huge"'],
  ] as const) {
    const { code, stderr } = await tessera("tune", ...args);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  }
});

test("a newer answer replaces an older one, others stay; another driver has a table of its own", async () => {
  expect(await savedTuning(adapter)).toBeNull();
  await saveTuning(adapter, [answer("q1", "x"), answer("q2", "x")]);
  const file = await saveTuning(adapter, [answer("q1", "y")]);
  expect(await savedTuning(adapter)).toEqual({ source: file, choices: { q1: "y", q2: "x" } });
  expect(await savedTuning({ ...adapter, description: "driver 1.3" })).toBeNull();
});

test("a file that is no table is told and not used", async () => {
  let stderr = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => ((stderr += text), true));
  for (const text of [
    "{",
    "[]",
    '{"format":2,"adapter":"a","choices":{},"answers":{}}',
    '{"format":1,"adapter":"a","choices":{"q":1},"answers":{}}',
  ]) {
    await writeFile(tuningFile(adapter), text);
    expect(await savedTuning(adapter)).toBeNull();
  }
  expect(stderr.match(/expected a table as `tune` writes it, got another content; not used/g)).toHaveLength(4);
});
