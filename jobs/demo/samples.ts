/** Test images for the demo's report, with each model's predictions and the distilled student's attention. */
import { scope } from "../../engine/memory.ts";
import { Tensor } from "../../engine/tensor.ts";
import { normalizeImages } from "../../kernels/augment/normalize.ts";
import { attentionMaps } from "../../models/attention-maps.ts";
import { loadParams } from "../../models/params.ts";
import { balancedSubset, gather, type ImageSet } from "../../train/data/dataset.ts";
import type { Sample } from "../report-data.ts";
import type { Answers } from "./answers.ts";
import { dispose, normalization, type Trained } from "./trained.ts";

const SAMPLES_PER_CLASS = 2;

/** Some images of every class, with the best three classes of each model and the distilled student's attention. */
export async function sample(
  test: ImageSet,
  answers: Readonly<Record<"teacher" | "distilled" | "plain", Answers>>,
  distilled: Trained,
): Promise<{ samples: Sample[]; patches: number }> {
  const indices = balancedSubset(test, SAMPLES_PER_CLASS, 0);
  const { images, labels } = gather(test, indices);
  const count = indices.length;
  const params = loadParams(distilled.model.name, distilled.model.params, distilled.state);
  const x = scope(() => normalizeImages(Tensor.from(images, [count, ...test.shape], "u8"), normalization));
  const maps = await attentionMaps(distilled.model, params, x);
  x.dispose();
  dispose(params);
  const size = images.length / count;
  const K = test.classes.length;
  const best = ({ logits }: Answers, i: number) => topThree(logits.subarray(indices[i]! * K, (indices[i]! + 1) * K), test.classes);
  const samples = Array.from(
    { length: count },
    (_, i): Sample => ({
      pixels: btoa(String.fromCharCode(...images.subarray(i * size, (i + 1) * size))),
      label: test.classes[labels[i]!]!,
      teacher: best(answers.teacher, i),
      distilled: best(answers.distilled, i),
      plain: best(answers.plain, i),
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
