/** The students of one teacher at a regime: the table of regimes and the table of distillation show the same runs. */
import type { Run, Settings, Source } from "./experiment.ts";
import type { Regime, Scale } from "./scales.ts";

/** Crop and flip only: what is compared is the teacher. */
export const PLAIN: Settings = {
  ...{ dropPath: 0, mixup: 0, cutmix: 0 },
  ...{ autoAugment: null, colorJitter: 0, erasing: 0, repeats: 1 },
};

/** Ways to learn from a teacher. */
export const METHODS = {
  none: {},
  /** "Usual" distillation of the paper, section 4.2 and the released code: tau 3, weight 0.1, divided by the number of classes too. */
  "soft-paper": { distillation: "soft", singleToken: true, alpha: 0.1, tau: 3 },
  /** The demo's settings: the teacher's probabilities outweigh the labels. */
  soft: { distillation: "soft", singleToken: true, alpha: 0.9, tau: 2, reduction: "batchmean" },
  hard: { distillation: "hard", singleToken: true },
  token: { distillation: "hard" },
} as const;

export type Method = keyof typeof METHODS;

/** Epochs of warm-up in a run of so many. */
export const warmup = (epochs: number): number => Math.min(5, epochs / 10);

export function student(scale: Scale, method: Method, { perClass, epochs }: Regime, teacher: Source = "cnn", seeds?: number): Run {
  const taught = method !== "none";
  return {
    id: `student/${method}${taught && teacher !== "cnn" ? `-${teacher}` : ""}/${perClass}x${epochs}`,
    kind: "train",
    model: method === "token" ? { ...scale.student, distilled: true } : scale.student,
    recipe: { ...scale.recipe, ...PLAIN, epochs, warmupEpochs: warmup(epochs), ...METHODS[method] },
    data: `cifar10/${perClass}`,
    judged: scale.judged,
    points: 8,
    ...(taught ? { teacher } : {}),
    ...(seeds === undefined ? {} : { seeds }),
  };
}
