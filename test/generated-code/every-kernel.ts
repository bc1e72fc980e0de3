/** Every kernel that is chosen on the current device: of each operation, of whole models, and of training steps. Nothing runs. */
import { ops } from "../../checks/catalog.ts";
import { differentiable } from "../../checks/op.ts";
import { gradients } from "../../engine/autograd.ts";
import { withRecorder, type Launch } from "../../engine/launch.ts";
import type { Pipeline } from "../../engine/pipeline.ts";
import { Tensor } from "../../engine/tensor.ts";
import { createModel } from "../../models/model.ts";
import { ParameterStore } from "../../models/params.ts";
import { makeStepInput } from "../../train/input/step-input.ts";
import { Optimizer } from "../../train/optimizer.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { rehearse } from "../../train/rehearse.ts";
import { draftStep } from "../../train/step.ts";
import { recordedModels } from "./models-wgsl.ts";

const recorded = (body: () => unknown): Launch[] => {
  const launches: Launch[] = [];
  withRecorder({ launches }, body);
  return launches;
};

/** Every operation at the sizes that are worth timing, forward and backward. */
function operations(): Launch[] {
  const sized = Object.values(ops).flatMap((op) => op.timed.filter(({ on }) => on !== "gpu").map((timed) => ({ op, ...timed })));
  return sized.flatMap(({ op, sizes, attrs: given }) => {
    const { inputs, attrs } = op.problem(sizes, given);
    const typeOf = (name: string) => (op.inputs[name]!.bytes ? "u8" : op.inputs[name]!.classesOf ? "u32" : "f32");
    const tensors = Object.fromEntries(Object.entries(inputs).map(([name, shape]) => [name, Tensor.zeros(shape, typeOf(name))]));
    const wanted = differentiable(op).flatMap((name) => tensors[name] ?? []);
    for (const t of wanted) t.requiresGrad = true;
    return recorded(() => {
      const y = op.run(tensors, attrs, undefined)["y"]!;
      if (wanted.length > 0) gradients(y, wanted, y);
    });
  });
}

/** A step with the whole augmentation: DeiT-B's, whose parameters no buffer holds, and a small one's with the other optimizers. */
function steps(): Launch[] {
  const base = createModel("deit_base_distilled_patch16_224");
  const small = createModel({ arch: "deit", imgSize: 32, patchSize: 16, dim: 64, depth: 1, heads: 1 });
  return (["adamw", "lamb", "sgd"] as const).flatMap((optimizer) => {
    const model = optimizer === "adamw" ? base : small;
    const recipe = makeRecipe({ batchSize: 8, distillation: "none", optimizer, accumulate: 2 });
    const store = new ParameterStore(model.name, model.params, null);
    const input = makeStepInput({
      model,
      recipe,
      seed: 0,
      normalization: { mean: [0, 0, 0], std: [1, 1, 1] },
      train: { shape: [3, 224, 224] },
    });
    const draft = draftStep({
      model,
      store,
      optimizer: new Optimizer(recipe, store),
      recipe,
      input: (patch) => input.launch(patch),
      teacher: null,
    });
    return [...recorded(draft.batch), ...recorded(draft.update!)];
  });
}

/** Each once, by its text. */
export function everyKernel(): Pick<Pipeline, "label" | "code" | "signature">[] {
  const { result } = rehearse(() => [...operations(), ...recordedModels().flatMap((m) => m.launches), ...steps()]);
  return [...new Map(result.map(({ pipeline }) => [pipeline.code, pipeline])).values()];
}
