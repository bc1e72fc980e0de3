/** What there is to tune: the questions that a model's kernels ask, or those of one operation on one shape. */
import { gradients } from "../../engine/autograd.ts";
import { withRecorder } from "../../engine/launch.ts";
import { Tensor } from "../../engine/tensor.ts";
import { questionsOf } from "../../engine/tuning.ts";
import { attention } from "../../kernels/attention.ts";
import { layerNorm } from "../../kernels/layer-norm.ts";
import { linear } from "../../kernels/linear.ts";
import { matmul } from "../../kernels/matmul.ts";
import { logSoftmax, softmax } from "../../kernels/softmax.ts";
import type { Model } from "../../models/model.ts";
import { attentionProblem } from "./attention.ts";
import { gemmProblem } from "./gemm.ts";
import type { Problem } from "./problem.ts";
import { rowsProblem } from "./rows.ts";

export const problemOf = (question: string): Problem | null => gemmProblem(question) ?? attentionProblem(question) ?? rowsProblem(question);

/** What `model` asks on so many images, for its parameters' gradients too when training. Nothing runs. */
export function modelQuestions(model: Model, batch: number, training: boolean): string[] {
  const params = Object.fromEntries(model.params.map(({ name, shape }) => [name, Tensor.zeros(shape)]));
  const trained = model.params.filter(({ trainable }) => trainable).map(({ name }) => params[name]!);
  const x = Tensor.zeros([batch, ...model.imageShape]);
  return asked([...Object.values(params), x], training ? trained : [], () => model.forward(params, x, { training }).logits);
}

interface Posed {
  /** What the numbers of a shape are. */
  readonly says: string;
  readonly inputs: (sizes: readonly number[]) => number[][];
  readonly run: (inputs: readonly Tensor[]) => Tensor;
}

const rows = (run: (x: Tensor) => Tensor): Posed => ({ says: "ROWSxD", inputs: ([r = 1, d = 1]) => [[r, d]], run: ([x]) => run(x!) });

/** Shapes as in the benchmark's names. */
export const posable: Readonly<Record<string, Posed>> = {
  matmul: {
    says: "MxKxN",
    inputs: ([M = 1, K = 1, N = 1]) => [
      [M, K],
      [K, N],
    ],
    run: ([a, b]) => matmul(a!, b!),
  },
  linear: {
    says: "ROWSxIxO",
    inputs: ([r = 1, I = 1, O = 1]) => [
      [r, I],
      [O, I],
    ],
    run: ([x, weight]) => linear(x!, weight!, null),
  },
  attention: {
    says: "BxHxNxD",
    inputs: ([B = 1, H = 1, N = 1, D = 1]) => [0, 1, 2].map(() => [B, H, N, D]),
    run: ([q, k, v]) => attention(q!, k!, v!),
  },
  layerNorm: { says: "ROWSxD", inputs: ([r = 1, D = 1]) => [[r, D], [D], [D]], run: ([x, weight, bias]) => layerNorm(x!, weight!, bias!) },
  softmax: rows(softmax),
  logSoftmax: rows(logSoftmax),
};

/** What `op` of `posable` asks on one shape, with all its gradients when training. */
export function opQuestions(op: string, sizes: readonly number[], training: boolean): string[] {
  const { inputs, run } = posable[op]!;
  const tensors = inputs(sizes).map((shape) => Tensor.zeros(shape));
  return asked(tensors, training ? tensors : [], () => run(tensors));
}

function asked(tensors: readonly Tensor[], wanted: readonly Tensor[], run: () => Tensor): string[] {
  for (const t of wanted) t.requiresGrad = true;
  try {
    // Launches are taken and dropped: no kernel is compiled, and no memory given.
    return questionsOf(() =>
      withRecorder({ launches: [] }, () => {
        const y = run();
        if (wanted.length > 0) gradients(y, wanted, y);
      }),
    );
  } finally {
    for (const t of tensors) t.dispose();
  }
}
