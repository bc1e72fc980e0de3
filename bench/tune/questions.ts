/** Questions to tune: those that a model's kernels ask, or those of one operation on one shape. */
import { ops } from "../../checks/catalog.ts";
import { gemmProblem, matrixProblem } from "../../checks/gemm-problem.ts";
import { differentiable, type Op } from "../../checks/op.ts";
import { opProblem } from "../../checks/op-problem.ts";
import type { Problem } from "../../checks/problem.ts";
import { gradients } from "../../engine/autograd.ts";
import { withRecorder } from "../../engine/launch.ts";
import { Tensor } from "../../engine/tensor.ts";
import { questionsOf } from "../../kernels/shared/tuning.ts";
import { storedModel, type StoredType } from "../../models/mixed-precision.ts";
import type { Model } from "../../models/model.ts";

/** The problem behind a question: a product, or an operation of the catalog. */
export function problemOf(question: string): Problem | null {
  const op = ops[question.split(" ")[0]!];
  return gemmProblem(question) ?? matrixProblem(question) ?? (op ? opProblem(op, question) : null);
}

/**
 * The questions of `model` on `batch` images, computing in f32 or with f16 in memory; with `training` also those of its gradients. Runs
 * nothing.
 */
export function modelQuestions(whole: Model, batch: number, training: boolean, dtype: StoredType = "f32"): string[] {
  const model = storedModel(whole, dtype);
  const params = Object.fromEntries(model.params.map(({ name, shape }) => [name, Tensor.zeros(shape)]));
  const trained = model.params.filter(({ trainable }) => trainable).map(({ name }) => params[name]!);
  const x = Tensor.zeros([batch, ...model.imageShape]);
  return asked([...Object.values(params), x], training ? trained : [], () => model.forward(params, x, { training }).logits);
}

/** The questions of `op` on one shape, with `training` also those of its gradients; the operation itself if it has no variants. */
export function opQuestions(op: Op, sizes: string, training: boolean): string[] {
  const { inputs, attrs } = op.problem(sizes, op.timed[0]?.attrs);
  const tensors = Object.fromEntries(
    Object.entries(inputs).map(([name, shape]) => [name, Tensor.zeros(shape, op.inputs[name]!.bytes ? "u8" : "f32")]),
  );
  const wanted = training ? differentiable(op).flatMap((name) => tensors[name] ?? []) : [];
  const found = asked(Object.values(tensors), wanted, () => op.run(tensors, attrs, undefined)["y"]!);
  return found.length > 0 ? found : [`${op.name} ${sizes}`];
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
