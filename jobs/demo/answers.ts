/** What models answer to the test images, and whether two of them can be told apart by it. */
import { loadParams } from "../../models/params.ts";
import type { ImageSet } from "../../train/data/dataset.ts";
import { Evaluator } from "../../train/evaluate.ts";
import { memoryOnly } from "../../train/input/memory.ts";
import { memorySource } from "../../train/input/source.ts";
import { dispose, normalization, type Trained } from "./trained.ts";

const BATCH = 100;

/** A model's logits [images, classes], with its own output where it has several heads, and its best class for each image. */
export interface Answers {
  readonly logits: Float32Array;
  readonly best: Uint8Array;
}

export async function answersOf({ model, state }: Trained, set: ImageSet, onProgress?: (done: number) => void): Promise<Answers> {
  const params = loadParams(model.name, model.params, state);
  const evaluator = await Evaluator.create(model, params, normalization, Math.min(BATCH, set.count));
  const [logits] = await evaluator.logits(memorySource(set, "test images"), {
    platform: memoryOnly,
    ...(onProgress ? { onProgress } : {}),
  });
  evaluator.dispose();
  dispose(params);
  const K = model.numClasses;
  const best = Uint8Array.from({ length: set.count }, (_, i) => {
    const row = logits!.subarray(i * K, (i + 1) * K);
    return row.indexOf(Math.max(...row));
  });
  return { logits: logits!, best };
}

export const top1Of = ({ best }: Answers, { labels, count }: ImageSet): number => best.filter((k, i) => k === labels[i]).length / count;

/** Images on which the two students are right and wrong alike, and what the teacher says of them. */
export interface Group {
  readonly images: number;
  readonly teacherRight: number;
  /** Images on which the distilled student gives the teacher's answer, right or wrong. */
  readonly asTeacher: number;
}

export interface Comparison {
  readonly groups: Readonly<Record<"both" | "distilled" | "plain" | "neither", Group>>;
  /**
   * Probability that students who are equally often right differ at least this much on as many images: McNemar's test in its exact form,
   * two-sided, over the images that one of them gets right and the other wrong.
   */
  readonly p: number;
}

export function compare(labels: Uint8Array, teacher: Answers, distilled: Answers, plain: Answers): Comparison {
  const groups = { both: emptyGroup(), distilled: emptyGroup(), plain: emptyGroup(), neither: emptyGroup() };
  labels.forEach((label, i) => {
    const [d, p] = [distilled.best[i] === label, plain.best[i] === label];
    const group = groups[d ? (p ? "both" : "distilled") : p ? "plain" : "neither"];
    group.images++;
    if (teacher.best[i] === label) group.teacherRight++;
    if (teacher.best[i] === distilled.best[i]) group.asTeacher++;
  });
  return { groups, p: mcnemar(groups.distilled.images, groups.plain.images) };
}

const emptyGroup = () => ({ images: 0, teacherRight: 0, asTeacher: 0 });

/** The exact two-sided p of `a` against `b` discordant pairs: twice the binomial tail, at most 1 (McNemar 1947; Fay 2010). */
export function mcnemar(a: number, b: number): number {
  const n = a + b;
  let tail = 0;
  let log = -n * Math.LN2; // of C(n, k) / 2^n
  for (let k = 0; k <= Math.min(a, b); k++) {
    tail += Math.exp(log);
    log += Math.log((n - k) / (k + 1));
  }
  return Math.min(1, 2 * tail);
}
