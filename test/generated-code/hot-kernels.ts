/** The kernels that take a step's time, each as the launches of an operation: what is read in their generated code. */
import { gradients } from "../../engine/autograd.ts";
import { getDevice } from "../../engine/device.ts";
import { withRecorder, type Launch } from "../../engine/launch.ts";
import type { Pipeline } from "../../engine/pipeline.ts";
import { Tensor } from "../../engine/tensor.ts";
import { adamwStep } from "../../kernels/optim/adamw.ts";
import { attention, attentionPacked, ATTENTION_VARIANTS } from "../../kernels/attention.ts";
import { batchNorm, BATCH_NORM_VARIANTS } from "../../kernels/batch-norm.ts";
import { columnSums } from "../../kernels/shared/column-sums.ts";
import { conv2d } from "../../kernels/conv2d.ts";
import { crossEntropy } from "../../kernels/cross-entropy.ts";
import { gelu } from "../../kernels/elementwise.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import { TILES, type TileName } from "../../kernels/gemm/tiles.ts";
import { gradNorm } from "../../kernels/optim/grad-norm.ts";
import { layerNorm } from "../../kernels/layer-norm.ts";
import type { RowVariant } from "../../kernels/rows/variants.ts";
import { logSoftmax, softmax } from "../../kernels/softmax.ts";

export interface HotKernel {
  readonly name: string;
  readonly pipeline: Pipeline;
}

const VARIANTS: readonly RowVariant[] = ["shared", "register", "team32", "barrier32"];
const tensors = (...shapes: readonly (readonly number[])[]): Tensor[] => shapes.map((shape) => Tensor.zeros(shape));

/** Forward and backward of `run` on tensors of these shapes. */
function both(run: (...inputs: readonly Tensor[]) => Tensor, ...shapes: readonly (readonly number[])[]): () => void {
  return () => {
    const inputs = tensors(...shapes);
    for (const t of inputs) t.requiresGrad = true;
    const y = run(...inputs);
    gradients(y, inputs, Tensor.zeros(y.shape));
  };
}

function product(variant: TileName, ta: boolean, tb: boolean, [M, N, K]: readonly [number, number, number], sums: boolean): () => void {
  return () => {
    const [a, b] = tensors(ta ? [K, M] : [M, K], tb ? [N, K] : [K, N]);
    gemm({ a: { tensor: a!, transposed: ta }, b: { tensor: b!, transposed: tb }, M, N, K, shape: [M, N], sums, variant });
  };
}

const operations: readonly (readonly [string, () => void])[] = [
  // Weights by tokens, as tile and matrix meet: whole tiles, then edges everywhere and one element a load.
  ...(Object.keys(TILES) as TileName[]).flatMap((tile) =>
    (
      [
        ["NN", false, false],
        ["NT", false, true],
        ["TN", true, false],
      ] as const
    ).flatMap(([stored, ta, tb]) => [
      [`${tile} ${stored}`, product(tile, ta, tb, [128, 896, 64], false)] as const,
      [`${tile} ${stored} edges`, product(tile, ta, tb, [197, 99, 67], ta)] as const,
    ]),
  ),
  ["split along K", product("register-8x8", true, false, [64, 64, 2048], true)],
  ...ATTENTION_VARIANTS.filter((v) => v !== "batched").flatMap((variant) => [
    [variant, both((q, k, v) => attention(q!, k!, v!, { variant }), [1, 3, 198, 64], [1, 3, 198, 64], [1, 3, 198, 64])] as const,
    [`${variant} packed`, both((qkv) => attentionPacked(qkv!, { heads: 3, variant }), [1, 198, 576])] as const,
  ]),
  ...VARIANTS.flatMap((variant) => [
    [variant, both((x, w, b) => layerNorm(x!, w!, b!, { variant }), [198, 192], [192], [192])] as const,
    [variant, both((x) => softmax(x!, { variant }), [198, 200])] as const,
    [variant, both((x) => logSoftmax(x!, { variant }), [4, 1000])] as const,
    [variant, both((x) => crossEntropy(x!, Tensor.zeros([4, 1000]), { variant }), [4, 1000])] as const,
  ]),
  ...BATCH_NORM_VARIANTS.map(
    (variant) =>
      [
        variant,
        both(
          (x, w, b) => batchNorm(x!, w!, b!, Tensor.zeros([32]), Tensor.zeros([32]), { training: true, variant }),
          [2, 32, 14, 14],
          [32],
          [32],
        ),
      ] as const,
  ),
  ["", both((x) => gelu(x!), [198, 768])],
  ["", () => void columnSums(Tensor.zeros([198, 192]), 192)],
  ["1x1", both((x, w) => conv2d(x!, w!), [1, 48, 28, 28], [104, 48, 1, 1])],
  ["3x3 stride 2", both((x, w) => conv2d(x!, w!, null, { stride: 2, padding: 1 }), [1, 3, 32, 32], [32, 3, 3, 3])],
  ["3x3 groups", both((x, w) => conv2d(x!, w!, null, { padding: 1, groups: 2 }), [1, 16, 14, 14], [16, 8, 3, 3])],
  ["patches", both((x, w, b) => conv2d(x!, w!, b!, { stride: 16 }), [1, 3, 64, 64], [192, 3, 16, 16], [192])],
  [
    "",
    () => {
      const [params, grads, m, v] = tensors([64], [64], [64], [64]);
      const numbers = Tensor.zeros([4], "u32");
      const at = (i: number) => ({ tensor: numbers, at: i });
      adamwStep(
        { params: params!, grads: grads!, m: m!, v: v! },
        { decayed: 32, lr: at(0), bias1: at(1), bias2: at(2), weightDecay: 0.05, finite: gradNorm([grads!]), clip: 1 },
      );
    },
  ],
];

/** Each pipeline once, for a processor or for a GPU: where both run the same text, under the first name. Nothing runs. */
export function hotKernels(): HotKernel[] {
  const { adapter } = getDevice();
  const found = new Map<Pipeline, string>();
  const names = new Set<string>();
  for (const software of [true, false]) {
    Object.assign(adapter, { software }); // kernels ask it what suits the adapter
    for (const [variant, run] of operations) {
      const launches: Launch[] = [];
      withRecorder({ launches }, run);
      for (const { pipeline } of launches) {
        if (found.has(pipeline)) continue;
        let name = [pipeline.label, variant, ...(software ? [] : ["for a GPU"])].filter(Boolean).join(" ");
        for (let n = 2; names.has(name); n++) name = name.replace(/( #\d+)?$/, ` #${n}`);
        names.add(name);
        found.set(pipeline, name);
      }
    }
  }
  return [...found].map(([pipeline, name]) => ({ name, pipeline }));
}
