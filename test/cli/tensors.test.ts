/** `op`, `forward`, `grad`, `step`, `models` as a shell sees them. What they compute is held by test/cases/jobs-*.ts. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { parseSafetensors, writeSafetensors, type SafeTensor } from "../../models/checkpoints/safetensors.ts";
import { uniform } from "../../checks/check.ts";

const CLI = fileURLToPath(new URL("../../cli/tessera.mjs", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "tessera-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));

const at = (name: string) => join(folder, name);

function tessera(...args: string[]): Promise<{ code: number; out: string; errors: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, ...args], { cwd: folder }, (error, out, errors) =>
      resolve({ code: error ? Number(error.code) : 0, out, errors }),
    );
  });
}

function write(name: string, tensors: Readonly<Record<string, SafeTensor>>): void {
  writeFileSync(at(name), writeSafetensors(Object.entries(tensors)));
}
const f32 = (shape: readonly number[], seed: number): SafeTensor => ({
  dtype: "F32",
  shape,
  data: Float32Array.from(
    uniform(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
  ),
});
const read = (name: string) => parseSafetensors(new Uint8Array(readFileSync(at(name)))).tensors;
const lastLine = (text: string) => text.trimEnd().split("\n").at(-1);

const [M, K, N] = [5, 7, 3];
write("matmul.safetensors", { a: f32([2, M, K], 1), b: f32([K, N], 2), dy: f32([2, M, N], 3) });

/** y, da and db of the file above in f64. */
function expected() {
  const { a, b, dy } = Object.fromEntries([...read("matmul.safetensors")].map(([name, t]) => [name, t.data as Float32Array])) as Record<
    "a" | "b" | "dy",
    Float32Array
  >;
  const [y, da, db] = [new Float64Array(2 * M * N), new Float64Array(2 * M * K), new Float64Array(K * N)];
  for (let r = 0; r < 2 * M; r++) {
    for (let k = 0; k < K; k++) {
      for (let n = 0; n < N; n++) {
        y[r * N + n]! += a[r * K + k]! * b[k * N + n]!;
        da[r * K + k]! += dy[r * N + n]! * b[k * N + n]!;
        db[k * N + n]! += a[r * K + k]! * dy[r * N + n]!;
      }
    }
  }
  return { y, da, db };
}

for (const where of ["node", "chromium"]) {
  test(`op matmul --backward --where ${where}: values, shapes, the adapter's name first`, async () => {
    const { code, out, errors } = await tessera(
      "op",
      "matmul",
      "--in",
      "matmul.safetensors",
      "--out",
      `${where}/out.safetensors`,
      "--backward",
      "--where",
      where,
      "--json",
      `${where}.json`,
    );
    expect(code, errors).toBe(0);
    expect(errors).toMatch(/^adapter: .+ \((GPU|SOFTWARE, runs on the CPU)\), in (Node|Chromium)$/m);
    expect(out).toBe("y [2,5,3]\nda [2,5,7]\ndb [7,3]\n");
    const tensors = read(`${where}/out.safetensors`);
    for (const [name, values] of Object.entries(expected())) values.forEach((v, i) => expect(tensors.get(name)!.data[i]).toBeCloseTo(v, 5));
    expect(JSON.parse(readFileSync(at(`${where}.json`), "utf8"))).toMatchObject({
      op: "matmul",
      attrs: { transposeA: false },
      outputs: { y: [2, 5, 3] },
      where,
    });
  });
}

test("bad usage and bad input: one line, exit 2, no stack, nothing written", async () => {
  const io = ["--in", "matmul.safetensors", "--out", "never.safetensors"];
  const runs: [string[], RegExp][] = [
    [["op", "linear", ...io], /^tessera op: expected tensors x, weight, bias \(optional\), .* got a, b, dy$/],
    [["op", "matmul", ...io, "--attrs", '{"transposeA":1}'], /^tessera op: expected true or false for attr transposeA, got 1$/],
    [["op", "matmul", ...io, "--dtype", "f64"], /^tessera op: expected --dtype f32 or f16, got "f64"$/],
    [
      ["forward", "--model", "deit_huge", "--weights", "matmul.safetensors", ...io],
      /^tessera forward: expected a timm name .* got "deit_huge"$/,
    ],
    [
      ["grad", "--config", '{"arch":"deit","imgSize":32,"patchSize":5}', "--weights", "matmul.safetensors", ...io],
      /^tessera grad: expected imgSize to be a multiple of patchSize 5, got 32$/,
    ],
    [["step", "--steps", "0"], /^tessera step: expected an integer from 1 on for --steps <n>, got "0"$/],
  ];
  const results = await Promise.all(runs.map(([args]) => tessera(...args)));
  results.forEach(({ code, errors }, i) => {
    expect(lastLine(errors)).toMatch(runs[i]![1]);
    expect(errors).not.toMatch(/^ +at /m);
    expect(code).toBe(2);
  });
  expect(() => readFileSync(at("never.safetensors"))).toThrow();
});

test("op --list and models: need no adapter", async () => {
  const [list, models] = await Promise.all([tessera("op", "--list"), tessera("models")]);
  expect(list.out).toMatch(/^layerNorm: x \[\.\.,D\], weight \[D\], bias \[D\] -> y/m);
  expect(models.out).toMatch(/^deit_tiny_distilled_patch16_224 +3x224x224 +5\.91 M +1\.26 G +6\.01 M$/m);
});
