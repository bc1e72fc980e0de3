/** A whole model in memory with canaries behind each tensor; single kernels are held so in checks/cases/canaries.ts. */
import { gradients } from "../../engine/autograd.ts";
import { Tensor } from "../../engine/tensor.ts";
import { createModel } from "../../models/model.ts";
import { holds } from "../../checks/cases/canaries.ts";
import { uniform, type Case } from "../../checks/check.ts";

const random = (shape: readonly number[], seed: number): Tensor => {
  const size = shape.reduce((a, b) => a * b, 1);
  return Tensor.from(uniform(size, seed), shape);
};

export const cases: Case[] = [
  {
    name: "canaries: a distilled DeiT's logits and gradients",
    run() {
      const model = createModel({ arch: "deit", imgSize: 16, patchSize: 8, dim: 24, depth: 1, heads: 2, numClasses: 7, distilled: true });
      const params = Object.fromEntries(model.params.map(({ name, shape }, i) => [name, random(shape, i + 1)]));
      const x = random([3, ...model.imageShape], 99);
      const trained = Object.values(params);
      for (const t of trained) t.requiresGrad = true;
      return holds(() => {
        const { logits } = model.forward(params, x, { training: false });
        return [logits, ...gradients(logits, trained, Tensor.from(uniform(logits.size, 9), logits.shape))];
      });
    },
  },
];
