/** Test images for the demo's report, with each model's predictions and the distilled student's attention. */
import { scope } from "../../engine/memory.ts";
import { Tensor } from "../../engine/tensor.ts";
import { normalizeImages } from "../../kernels/augment/normalize.ts";
import { attentionMaps } from "../../models/attention-maps.ts";
import { loadParams, type Params } from "../../models/params.ts";
import { balancedSubset, gather, type ImageSet } from "../../train/data/dataset.ts";
import { Evaluator } from "../../train/evaluate.ts";
import { memoryOnly } from "../../train/input/memory.ts";
import { memorySource } from "../../train/input/source.ts";
import type { Sample } from "../report-data.ts";
import { normalization, type Trained } from "./sizing.ts";

const SAMPLES_PER_CLASS = 2;

/** Some images of every class, with the best three classes of each model and the distilled student's attention. */
export async function sample(
  test: ImageSet,
  teacher: Trained,
  distilled: Trained,
  plain: Trained,
): Promise<{ samples: Sample[]; patches: number }> {
  const indices = balancedSubset(test, SAMPLES_PER_CLASS, 0);
  const { images, labels } = gather(test, indices);
  const set: ImageSet = { ...test, images, labels, count: indices.length };
  const predictions: [string, number][][][] = [];
  for (const { model: m, state } of [teacher, distilled, plain]) {
    const params = loadParams(m.name, m.params, state);
    const evaluator = await Evaluator.create(m, params, normalization, set.count);
    const [logits] = await evaluator.logits(memorySource(set, "samples"), { platform: memoryOnly });
    predictions.push(
      Array.from({ length: set.count }, (_, i) => topThree(logits!.subarray(i * m.numClasses, (i + 1) * m.numClasses), test.classes)),
    );
    evaluator.dispose();
    dispose(params);
  }
  const params = loadParams(distilled.model.name, distilled.model.params, distilled.state);
  const x = scope(() => normalizeImages(Tensor.from(images, [set.count, ...test.shape], "u8"), normalization));
  const maps = await attentionMaps(distilled.model, params, x);
  x.dispose();
  dispose(params);
  const size = images.length / set.count;
  const samples = Array.from(
    { length: set.count },
    (_, i): Sample => ({
      pixels: btoa(String.fromCharCode(...images.subarray(i * size, (i + 1) * size))),
      label: test.classes[labels[i]!]!,
      teacher: predictions[0]![i]!,
      distilled: predictions[1]![i]!,
      plain: predictions[2]![i]!,
      attentionCls: [...maps.cls[i]!],
      attentionDist: [...(maps.dist?.[i] ?? [])],
    }),
  );
  return { samples, patches: maps.side };
}

function topThree(logits: Float32Array, classes: readonly string[]): [string, number][] {
  const max = Math.max(...logits);
  const e = Array.from(logits, (v) => Math.exp(v - max));
  const sum = e.reduce((a, b) => a + b, 0);
  return e
    .map((v, k): [string, number] => [classes[k]!, v / sum])
    .sort((a, b) => b[1] - a[1])
    .slice(0, 3);
}

export function dispose(params: Params): void {
  for (const t of Object.values(params)) t.dispose();
}
