/** The GPU run without a GPU: run.sh's steps in order and its end, the bundle on its own, the summary's verdicts. */
import { execFile } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundleSteps } from "../../bench/gpu/pack.ts";
import { summary } from "../../bench/gpu/summary.ts";

const linux = process.platform === "linux" && process.arch === "x64"; // what it is for
const folder = mkdtempSync(join(tmpdir(), "tessera-gpu-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (file: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<{ code: number; text: string }> =>
  new Promise((done) =>
    execFile(file, args, { cwd: folder, env }, (error, stdout, stderr) =>
      done({ code: error ? ((error as { code?: number }).code ?? 1) : 0, text: stdout + stderr }),
    ),
  );

const bare = { PATH: "/usr/bin:/bin:/sbin", PYTHON: "/nothing" };

/** run.sh in a folder of its own, with a program in Node's place that notes what it is asked and fails at `fails`. */
async function staged(name: string, fails: string, ...args: string[]) {
  const here = join(folder, name);
  mkdirSync(join(here, "bin"), { recursive: true });
  mkdirSync(join(here, "lib"));
  cpSync("bench/gpu/run.sh", join(here, "run.sh"));
  writeFileSync(join(here, "bin/node"), `#!/bin/bash\necho "$3" >> "${here}/asked"\n[ "$3" != "${fails}" ]\n`);
  chmodSync(join(here, "bin/node"), 0o755);
  const { code, text } = await run(join(here, "run.sh"), [join(here, "out"), ...args], bare);
  return {
    code,
    text,
    asked: readFileSync(join(here, "asked"), "utf8")
      .trim()
      .split("\n")
      .filter((word) => word !== ""),
  };
}

const ALL = [
  "doctor",
  "doctor-matrix",
  "tests",
  "tune",
  "tune-matrix",
  "kernels",
  "unsafe",
  "f16",
  "f16-matrix",
  "tfjs",
  "models",
  "matrix",
  "matrix-unsafe",
  "rows",
  "summary",
];

test.runIf(linux)(
  "run.sh runs every step in order, one that fails stops none and makes the end fail, the parts make the whole",
  async () => {
    const all = await staged("all", "none");
    const steps = ({ asked }: { asked: readonly string[] }) => asked.filter((word) => word !== "--version" && word !== "probe");
    expect(steps(all)).toEqual(ALL);
    expect(all).toMatchObject({ code: 0 });
    expect(all.text).toMatch(/torch: not run/);
    const bad = await staged("bad", "tune");
    expect(steps(bad)).toEqual(ALL);
    expect(bad.code).toBe(1);
    expect(bad.text).toMatch(/FAILED: tune/);
    const parts = [];
    for (const part of ["part1", "part2", "part3", "part4", "part5"]) parts.push(...steps(await staged(part, "none", part)));
    expect(parts.filter((word) => word !== "summary")).toEqual(ALL.slice(0, -1));
  },
);

test("no part may take longer than nine minutes, and every step has a limit", () => {
  const text = readFileSync("bench/gpu/run.sh", "utf8");
  const limits = new Map(
    [...text.matchAll(/([\w|-]+)\) echo (\d+) ;;/g)].flatMap(([, steps, seconds]) =>
      steps!.split("|").map((step) => [step, Number(seconds)]),
    ),
  );
  const parts = [...text.matchAll(/part\d\) STEPS="\$STEPS ([^"]+)"/g)].map(([, steps]) => steps!.split(" "));
  expect(parts.flat().filter((step) => !limits.has(step))).toEqual([]);
  // `doctor` runs twice, seconds each; `matrix` twice, too.
  const most = (step: string) => limits.get(step)! * (step === "matrix" ? 2 : 1);
  for (const steps of parts) expect(steps.reduce((sum, step) => sum + most(step), 0)).toBeLessThan(540);
});

beforeAll(async () => {
  await bundleSteps(join(folder, "bundle/js"));
  writeFileSync(join(folder, "bundle/about.json"), JSON.stringify({ version: "1", commit: "abc" }));
  mkdirSync(join(folder, "bundle/node_modules"));
  symlinkSync(resolve("node_modules/webgpu"), join(folder, "bundle/node_modules/webgpu"));
});

test("the bundle runs without the project beside it: names its steps, describes the adapter, and will not measure on software", async () => {
  const main = join(folder, "bundle/js/main.mjs"),
    out = join(folder, "described");
  const env = { PATH: process.env["PATH"], VK_ICD_FILENAMES: process.env["VK_ICD_FILENAMES"], XDG_RUNTIME_DIR: tmpdir() };
  const none = await run(process.execPath, [main, "nothing", "--out", out], env);
  expect(none.code).toBe(2);
  for (const step of ALL) expect(none.text).toContain(step);
  const described = await run(process.execPath, [main, "doctor", "--out", out, "--smoke"], env);
  expect(described).toMatchObject({ code: 0 });
  const { device } = JSON.parse(readFileSync(join(out, "steps/doctor.json"), "utf8")) as { device: { name: string; software: boolean } };
  expect(described.text).toContain(device.name);
  if (!device.software) return;
  const refused = await run(process.execPath, [main, "doctor", "--out", out], env);
  expect(refused).toMatchObject({ code: 1, text: expect.stringMatching(/expected a GPU, got .*--smoke/) });
});

test("the summary tells what is reached, missed and open", () => {
  const out = join(folder, "summed");
  mkdirSync(join(out, "steps"), { recursive: true });
  const keep = (step: string, result: object) => writeFileSync(join(out, `steps/${step}.json`), JSON.stringify(result));
  const one = (name: string, medianMs: number, more: object = {}) => ({
    name,
    flops: 2 * 4096 ** 3,
    bytes: 1e9,
    gflops: 1,
    gbps: null,
    ours: { medianMs },
    rivals: {},
    ratio: {},
    peakFraction: null,
    ...more,
  });
  const base = { adapter: { vendor: "nvidia", architecture: "hopper" }, versions: {}, ceilings: { copyGBps: 2000, fmaGFlops: 50000 } };
  keep("kernels", {
    ...base,
    cases: [one("matmul 4096x4096x4096", 5), one("layerNorm 50432x768", 1, { gbps: 1300 }), one("softmax 768x197x197", 1, { gbps: 1000 })],
  });
  keep("unsafe", { ...base, cases: [one("matmul 4096x4096x4096", 3.9)] });
  keep("tfjs", { ...base, cases: [one("train deit_small_patch16_224 B8", 5, { rivals: { tfjs: { medianMs: 30 } }, ratio: { tfjs: 6 } })] });
  keep("models", {
    models: [
      {
        mode: "train",
        size: "small",
        batch: 128,
        dtype: "f32",
        toggles: "safe",
        imagesPerSecond: 700,
        measured: one("train deit_small_patch16_224 B128", 180),
      },
    ],
    failures: ["train-base-f32: out of GPU memory"],
  });
  keep("torch", {
    version: "2",
    device: "H",
    ceilings: {},
    runs: [{ mode: "train", size: "small", kind: "fp32", compiled: false, batch: 128, imagesPerSecond: 1000 }],
  });
  keep("tests", {
    passed: 10,
    failed: 1,
    skipped: 0,
    notRun: 2,
    failures: [{ name: "softmax: big", error: "y[0]: expected 1, got 2" }],
    lacks: {},
  });
  const product = "4096x4096x4096 NN";
  keep("matrix", {
    checks: [
      { what: "one", fault: null },
      { what: "two", fault: "row 3" },
    ],
    best: [{ product, variant: "128x128x32", ms: 1.1, tflops: 125 }],
  });
  keep("tune.end", { step: "tune", code: 124, seconds: 170 });
  summary({ out, smoke: false, seconds: 1 }, { version: "1", commit: "abc" });
  const text = readFileSync(join(out, "summary.txt"), "utf8");
  const row = (start: string) =>
    text
      .split("\n")
      .find((line) => line.startsWith(start))
      ?.replace(/\s+/g, " ");
  expect(row("GEMM 4096^3 f32, safe")).toMatch(/27\.5 TFLOP\/s reached$/);
  expect(row("GEMM 4096^3 f32, unsafe")).toMatch(/35\.2 TFLOP\/s aim reached$/);
  expect(row("DeiT's own shapes, the worst, safe")).toMatch(/not measured open$/);
  expect(row("DeiT-S training step against tfjs (train deit_small_patch16_224 B8)")).toMatch(/6\.00 x aim reached$/);
  expect(row("training, DeiT small, f32 (batch 128)")).toMatch(/700 images\/s reached$/);
  expect(row("train small against PyTorch fp32")).toMatch(/0\.700 x reached$/);
  expect(row("share of copy bandwidth: layerNorm")).toMatch(/65\.0 % reached$/);
  expect(row("share of copy bandwidth: softmax")).toMatch(/50\.0 % MISSED$/);
  expect(row("GEMM 4096^3 f16 on tensor cores")).toMatch(/125 TFLOP\/s reached$/);
  expect(row("subgroup matrices:")).toBe("subgroup matrices: not asked; 1 of 2 checks right");
  expect(text).toContain(`  ${product}: 125 TFLOP/s by 128x128x32\n`);
  expect(row("tests:")).toBe("tests: 10 passed, 1 failed, 0 skipped, 2 not run for want of time");
  expect(row("steps that failed:")).toBe("steps that failed: tune (over its time)");
  expect(row("no result:")).toBe("no result: train-base-f32: out of GPU memory");
  const file = JSON.parse(readFileSync(join(out, "nvidia-hopper-node.json"), "utf8")) as {
    where: string;
    commit: string;
    cases: { name: string }[];
  };
  expect(file).toMatchObject({ where: "node", commit: "abc" });
  expect(file.cases.map((c) => c.name)).toEqual([
    "matmul 4096x4096x4096",
    "layerNorm 50432x768",
    "softmax 768x197x197",
    "train deit_small_patch16_224 B128",
    "train deit_small_patch16_224 B8",
  ]);
});
