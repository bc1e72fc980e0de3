/**
 * Kernels whose WGSL is generated show one small instance of it in a comment, which begins with "The body" and ends with the comment.
 * Here each is generated again. After a change that is meant: UPDATE_INSTANCES=1 npx vitest run test/generated-text.test.ts
 */
import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { getDevice } from "../engine/device.ts";
import { gradients } from "../engine/autograd.ts";
import { withRecorder, type Launch } from "../engine/launch.ts";
import { Tensor } from "../engine/tensor.ts";
import { attention } from "../kernels/attention.ts";
import { conv2d } from "../kernels/conv2d.ts";
import { gemm } from "../kernels/gemm/gemm.ts";
import { matrixProduct } from "../kernels/gemm/matrix.ts";
import type { Tile } from "../kernels/gemm/config.ts";

const zeros = (...shape: number[]): Tensor => Tensor.zeros(shape);

/** Forward and backward of a convolution without padding. */
function convolution(x: Tensor, weight: Tensor): void {
  weight.requiresGrad = true;
  const y = conv2d(x, weight);
  gradients(y, [weight], Tensor.zeros(y.shape));
}

function product(tile: Tile, M: number, N: number, transposed = false): void {
  gemm({ a: { tensor: zeros(M * 8), transposed }, b: { tensor: zeros(8, N) }, M, N, K: 8, shape: [M, N], variant: tile });
}

const TILE = { bm: 8, bn: 8, bk: 8, gm: 1, gn: 1, staging: "plain" } as const;
const SETUP = { shape: { M: 8, N: 8, K: 8, input: "f32" }, syntax: "majorness", words: true, lanes: 32, sized: false } as const;

const INSTANCES: readonly { readonly file: string; readonly kernel: string; readonly features?: readonly string[]; run(): void }[] = [
  { file: "kernels/conv/direct.ts", kernel: "conv2d.forward", run: () => convolution(zeros(1, 1, 1, 4), zeros(1, 1, 1, 3)) },
  { file: "kernels/conv/weight.ts", kernel: "conv2d.backwardWeight", run: () => convolution(zeros(1, 1, 1, 3), zeros(1, 1, 1, 2)) },
  {
    file: "kernels/attention/flash.ts",
    kernel: "attention.forward",
    run: () => void attention(zeros(1, 1, 2, 4), zeros(1, 1, 2, 4), zeros(1, 1, 2, 4), { variant: "register" }),
  },
  {
    file: "kernels/gemm/kernels.ts",
    kernel: "gemm.register",
    run: () => product({ kind: "register", x: 8, y: 8, tm: 1, tn: 2, bk: 1 }, 8, 16),
  },
  {
    file: "kernels/gemm/shared.ts",
    kernel: "gemm.shared",
    run: () => product({ kind: "shared", x: 4, y: 4, tm: 4, tn: 4, bk: 8, flow: "plain" }, 16, 16, true),
  },
  {
    file: "kernels/gemm/subgroup.ts",
    kernel: "gemm.subgroup",
    features: ["subgroups"],
    run: () => product({ kind: "subgroup", x: 8, y: 1, tm: 2, tn: 4, bk: 1 }, 2, 32),
  },
  {
    file: "kernels/gemm/matrix-kernel.ts",
    kernel: "gemm.matrix",
    features: ["subgroups", "chromium-experimental-subgroup-matrix"],
    run: () => void matrixProduct(SETUP, TILE, { a: zeros(8, 8), b: zeros(8, 8), M: 8, N: 8, K: 8, direct: true }),
  },
];

/** Runs `body` as on a GPU with these features and subgroups of 8, whatever the adapter has: nothing is compiled. */
function pretending(features: readonly string[], body: () => void): void {
  const device = getDevice();
  const before = Object.getOwnPropertyDescriptor(device, "features")!;
  const played = { features: new Set(features), subgroups: features.includes("subgroups") ? { min: 8, max: 8 } : null };
  for (const [name, value] of Object.entries(played)) Object.defineProperty(device, name, { value, configurable: true });
  try {
    body();
  } finally {
    Object.defineProperty(device, "features", before);
    Reflect.deleteProperty(device, "subgroups"); // a getter of the class again
  }
}

/** What stands between the braces of the entry point, a line each. */
function bodyOf(code: string): string[] {
  const lines = code.split("\n");
  const first = lines.findIndex((line) => line.startsWith("fn main(")) + 2; // and `group`
  return lines
    .slice(first, -1)
    .map((line) => line.replace(/ +/g, " ").trimEnd())
    .filter((line) => line.trim() !== "");
}

const COMMENT = /(\n \* The body[^\n]*(?:\n \* [^\n]+)*\n \*\n)((?: \*[^/\n]*\n| \* [^\n]*\n)*?)( \*\/)/;

for (const { file, kernel, features = [], run } of INSTANCES)
  test(`${file}: the instance of ${kernel} in its comment is what is generated`, () => {
    const launches: Launch[] = [];
    pretending(features, () => withRecorder({ launches }, run));
    const { code } = launches.find(({ pipeline }) => pipeline.label === kernel)!.pipeline;
    const source = readFileSync(file, "utf8");
    const comment = COMMENT.exec(source);
    if (!comment) throw new Error(`${file}: expected a comment with an instance ("The body …"), got none`);
    const shown = indented(bodyOf(code));
    if (process.env["UPDATE_INSTANCES"])
      writeFileSync(
        file,
        source.replace(COMMENT, (_, head: string, __, end: string) => head + shown + end),
      );
    else expect(comment[2]).toBe(shown);
  });

/** Lines as a comment shows them, indented by the braces that are open. */
function indented(lines: readonly string[]): string {
  let depth = 0;
  return lines
    .map((line) => {
      const text = line.trim();
      const before = depth - (/^}+/.exec(text.replaceAll(" ", ""))?.[0].length ?? 0);
      depth += text.split("{").length - text.split("}").length;
      return ` *     ${"  ".repeat(Math.max(0, before))}${text}\n`;
    })
    .join("");
}
