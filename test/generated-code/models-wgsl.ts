/** The launches of whole models, forward and backward, recorded without running: which WGSL modules a step is made of. */
import { gradients, noGrad } from "../../engine/autograd.ts";
import { getDevice } from "../../engine/device.ts";
import { withRecorder, type Launch } from "../../engine/launch.ts";
import { Tensor } from "../../engine/tensor.ts";
import { cast } from "../../kernels/cast.ts";
import { crossEntropy } from "../../kernels/cross-entropy.ts";
import { createModel } from "../../models/model.ts";

const SMALL = { arch: "deit", imgSize: 32, patchSize: 4, dim: 96, depth: 2, heads: 3, numClasses: 10, distilled: true } as const;
const TINY = { arch: "deit", depth: 2, distilled: true } as const;
const CNN = { arch: "regnety", imgSize: 64, w0: 24, wa: 36.44, wm: 2.49, groupWidth: 8, depth: 13, numClasses: 1000 } as const;

export interface Recorded {
  readonly name: string;
  readonly launches: readonly Launch[];
}

/** DeiT at 224 and 32 pixels and a RegNetY: a training step's forward and backward, and inference; as a processor and as a GPU would run them, in f32 and, where there is f16, in f16. */
export function recordedModels(): Recorded[] {
  const { adapter, features } = getDevice();
  const { software } = adapter;
  const found: Recorded[] = [];
  for (const played of [true, false]) {
    Object.assign(adapter, { software: played });
    for (const dtype of features.has("shader-f16") ? (["f32", "f16"] as const) : (["f32"] as const)) {
      for (const [name, config] of [
        ["deit 224", TINY],
        ["deit 32", SMALL],
        ["regnety", CNN],
      ] as const) {
        const model = createModel(config);
        const params = Object.fromEntries(model.params.map((p) => [p.name, Tensor.zeros(p.shape)]));
        const x = Tensor.zeros([2, ...model.imageShape]);
        const labels = Tensor.zeros([2], "u32");
        for (const training of [false, true]) {
          const launches: Launch[] = [];
          withRecorder({ launches }, () => {
            const stored = (t: Tensor, key: string) =>
              dtype === "f16" && t.shape.length > 1 && !key.includes("running") ? cast(t, "f16") : t;
            const trained = Object.entries(params).filter(([key]) => !key.includes("running_") && !key.includes("num_batches"));
            for (const [, t] of trained) t.requiresGrad = training;
            const given = Object.fromEntries(Object.entries(params).map(([key, t]) => [key, stored(t, key)]));
            if (!training) return void noGrad(() => model.forward(given, x));
            const { logitsCls } = model.forward(given, x, { training: true });
            gradients(
              crossEntropy(logitsCls, labels),
              trained.map(([, t]) => t),
            );
          });
          found.push({ name: `${name} ${training ? "training" : "inference"} ${dtype}${played ? "" : " for a GPU"}`, launches });
        }
      }
    }
  }
  Object.assign(adapter, { software });
  return found;
}
