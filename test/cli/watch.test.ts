/** `op --check`, `--watch` and `--print-wgsl`: in a copy of the sources, whose kernel is broken and mended while it is watched. */
import { spawn, type ChildProcess } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { main } from "../../cli/main.ts";
import { sourcesOf } from "../../cli/watch-op.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
let copy = "";
let watching: ChildProcess | undefined;

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), "tessera-watch-"));
  for (const folder of ["cli", "engine", "kernels", "checks", "models", "train", "tasks", "bench", "jobs", "app", "test"]) {
    await cp(join(ROOT, folder), join(copy, folder), {
      recursive: true,
      filter: (from) => !/node_modules|results$|\.bin$|presets\/.*\.safetensors$/.test(basename(from)),
    });
  }
  for (const file of ["package.json", "tsconfig.json"]) await cp(join(ROOT, file), join(copy, file));
  await symlink(join(ROOT, "node_modules"), join(copy, "node_modules"));
  await cp(join(ROOT, ".cache"), join(copy, ".cache"), { recursive: true });
});
afterEach(() => void vi.restoreAllMocks());
afterAll(async () => {
  watching?.kill();
  await rm(copy, { recursive: true, force: true });
});

test("a kernel is checked and timed again when it is saved; what breaks is shown with its line, and watching goes on", async () => {
  const child = (watching = spawn(process.execPath, [join(copy, "cli/tessera.mjs"), "op", "relu", "--watch"], {
    cwd: copy,
    stdio: ["ignore", "pipe", "pipe"],
  }));
  let said = "";
  for (const stream of [child.stdout!, child.stderr!]) stream.on("data", (data) => (said += data));
  /** What it says until it watches again. */
  const round = async (): Promise<string> => {
    await vi.waitUntil(() => /watching \d+ files of relu\n$/.test(said), { timeout: 180_000, interval: 20 });
    const all = said;
    said = "";
    return all;
  };
  const file = join(copy, "kernels/elementwise.ts");
  const text = await readFile(file, "utf8");
  const relu = /max\(x, 0\.0\)|max\(x, \w+\(0?\.?0?\)\)|max\([^)]*\)/.exec(text)![0];

  expect(await round()).toMatch(/checking relu[\s\S]*relu: (\d+) of \1 checks passed/);
  await writeFile(file, text.replaceAll(relu, "max(y x)"));
  expect(await round()).toMatch(/kernels\/elementwise\.ts was saved[\s\S]*WGSL \d+:\d+: [\s\S]*> +\d+ .*max\(y x\)/);
  await writeFile(file, text.replaceAll(relu, `(0.5 * ${relu})`));
  expect(await round()).toMatch(/FAILED relu: .*\n[\s\S]*expected every check of relu to pass, got \d+ of \d+ that failed/);
  await writeFile(file, "this is no TypeScript");
  expect(await round()).toMatch(/elementwise\.ts/);
  await writeFile(file, text);
  expect(await round()).toMatch(/relu: (\d+) of \1 checks passed/);
  // A file that its kernels are not made of starts nothing.
  await writeFile(join(copy, "kernels/conv2d.ts"), "nothing");
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(said).toBe("");
}, 900_000);

test("an op's sources are its file and what that imports", () => {
  expect(sourcesOf("matmul")).toEqual(
    expect.arrayContaining(["kernels/matmul.ts", "kernels/gemm/gemm.ts", "kernels/gemm/kernels.ts", "engine/kernel.ts"]),
  );
  expect(sourcesOf("softmax")).not.toContain("kernels/gemm/gemm.ts");
});

async function tessera(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = "",
    stderr = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => ((stderr += text), true));
  vi.spyOn(process.stdout, "write").mockImplementation((text) => ((stdout += text), true));
  return { code: await main(args), stdout, stderr };
}

test("--check says what was reached, as shares of what this adapter can", async () => {
  const { code, stdout } = await tessera("op", "softmax", "--check", "--variant", "register");
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^softmax: (\d+) of \1 checks passed\nsoftmax [\dx]+: [\d.]+ ms, [\d.]+ GB\/s \(\d+ % of the measured [\d.]+\)\nsoftmax [\dx]+ fwd\+bwd: /,
  );
}, 180_000);

test("--print-wgsl prints every launch whole, forward and backward", async () => {
  const { code, stdout } = await tessera("op", "layerNorm", "--print-wgsl", "--variant", "shared");
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^\/\/ forward: layerNorm\.forward, \d+ x 1 x 1 workgroups\n@group\(0\) @binding\(0\)[\s\S]*\n\/\/ backward: layerNorm\.backward, /,
  );
  expect(stdout.match(/fn main\(/g)?.length).toBe(stdout.match(/^\/\/ (forward|backward): /gm)?.length);
  expect((await tessera("op", "mixup", "--print-wgsl", "--attrs", '{"lam":2}')).stderr).toContain(
    "expected a number in [0, 1] for attr lam, got 2",
  );
  expect(await tessera("op", "nope", "--check")).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/expected one of adamw, attention, .*, got "nope"/),
  });
}, 180_000);
