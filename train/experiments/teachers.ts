/** CNNs and DeiTs trained without a teacher on many pictures, and which of them teach. */
import { row, type Run, type Table } from "./experiment.ts";
import type { Regime, Scale } from "./scales.ts";
import { PLAIN, warmup } from "./students.ts";

type Kind = "cnn" | "deit";

function teacher(scale: Scale, kind: Kind, { perClass, epochs }: Regime): Run {
  return {
    id: `teacher/${kind}/${perClass}x${epochs}`,
    kind: "train",
    model: scale[kind],
    recipe: { ...scale.recipe, ...PLAIN, ...(kind === "cnn" ? { lr: 4e-3 } : {}), epochs, warmupEpochs: warmup(epochs) },
    data: perClass === 5000 ? "cifar10/all" : `cifar10/${perClass}`,
    judged: scale.judged,
    points: 4,
    seeds: 1,
  };
}

/** The candidates, by kind. */
export const candidates = (scale: Scale): Readonly<Record<Kind, readonly Run[]>> => ({
  cnn: scale.cnns.map((at) => teacher(scale, "cnn", at)),
  deit: scale.deits.map((at) => teacher(scale, "deit", at)),
});

export function teachers(scale: Scale): Table {
  const { cnn, deit } = candidates(scale);
  const label = (run: Run, kind: string) =>
    `${kind}, ${run.id.split("/").at(-1)!.replace("x", " pictures of a class, ")} ${run.recipe["epochs"] === 1 ? "epoch" : "epochs"}`;
  return {
    name: "teachers",
    title: "Teachers",
    about: [
      "One run each, without a teacher, crop and flip only, each with its own full schedule. The nearest two of a kind each are the teachers of equal accuracy.",
    ],
    groups: [
      { title: "Convolutional networks", rows: cnn.map((run) => row(label(run, "RegNetY"), run)) },
      { title: "Transformers", rows: deit.map((run) => row(label(run, "DeiT"), run)) },
    ],
    curves: [],
  };
}

/** Accuracy of a trained candidate, in percent. */
export interface Judged {
  readonly id: string;
  readonly top1: number;
}

/** Most points between teachers that are called equal. */
export const EQUAL = 1;

/** The CNN and the DeiT whose accuracies are nearest; of several such pairs the first. */
export function equalPair(cnns: readonly Judged[], deits: readonly Judged[]): { readonly cnn: Judged; readonly deit: Judged } {
  const pairs = cnns.flatMap((cnn) => deits.map((deit) => ({ cnn, deit })));
  const apart = ({ cnn, deit }: (typeof pairs)[number]) => Math.abs(cnn.top1 - deit.top1);
  return pairs.reduce((best, pair) => (apart(pair) < apart(best) ? pair : best));
}

export const best = (all: readonly Judged[]): Judged => all.reduce((a, b) => (b.top1 > a.top1 ? b : a));
