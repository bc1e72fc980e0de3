/**
 * The paper's experiments at a scale that one machine can run, as data: each run's settings, and the paper's figure to compare with.
 *
 * Tables: distillation (the paper's tables 2 and 3), ablation (table 8), transfer (table 7), and the largest runs that were affordable.
 * Every row is a few seeds of one `train` command; this file runs nothing.
 */
import { ABLATION, DISTILLATION, TRANSFER } from "./paper.ts";

export const TABLES = ["distillation", "ablation", "transfer", "largest"] as const;

export type Table = (typeof TABLES)[number];

/** The answer of a distilled model that a row measures; a plain model has one. */
export type Answer = "model" | "cls" | "dist";

export interface Row {
  readonly label: string;
  readonly answer: Answer;
  /** The paper's top-1 in percent, where it has this row. */
  readonly paper?: number;
}

export interface Experiment {
  readonly id: string;
  readonly table: Table;
  readonly rows: readonly Row[];
  readonly model: Readonly<Record<string, unknown>>;
  readonly recipe: Readonly<Record<string, unknown>>;
  /** Distilled from: the shipped CNN, or the run "teacher/deit". */
  readonly teacher?: "cnn" | "deit";
  /** The data set to train and test on. */
  readonly data: "source" | "full" | "target";
  /** Begins with the weights of this run, and a classifier of its own. */
  readonly from?: string;
  /** Evaluated with the moving average of its weights. */
  readonly ema?: boolean;
  /** Trained with one seed only. */
  readonly once?: boolean;
}

export interface Scale {
  readonly name: "small" | "full";
  readonly about: string;
  /** The value of `--data` for each data set; "target" is the task to transfer to. */
  readonly data: { readonly source: string; readonly full: string };
  readonly student: Readonly<Record<string, unknown>>;
  readonly teacher: Readonly<Record<string, unknown>>;
  readonly epochs: {
    readonly distillation: number;
    readonly ablation: number;
    readonly teacher: number;
    readonly transfer: number;
    readonly largest: number;
  };
  readonly batchSize: number;
  readonly lr: number;
  readonly sgdLr: number;
  /** Shards of a batch for repeated augmentation. */
  readonly shards: number;
  readonly emaDecay: number;
}

const vit = (dim: number, depth: number, heads: number, patchSize: number) => ({
  arch: "deit",
  imgSize: 32,
  patchSize,
  dim,
  depth,
  heads,
  numClasses: 10,
});

export const SCALES: Readonly<Record<Scale["name"], Scale>> = {
  small: {
    name: "small",
    about: "for a software adapter: 2,000 training and 1,000 test images of CIFAR-10 (app/data/cifar10), a student of two blocks",
    data: { source: "cifar10-subset", full: "cifar10" },
    student: vit(64, 2, 2, 8),
    teacher: vit(64, 4, 2, 8),
    epochs: { distillation: 20, ablation: 15, teacher: 8, transfer: 10, largest: 16 },
    batchSize: 50,
    lr: 1e-3,
    sgdLr: 1e-2,
    shards: 5,
    emaDecay: 0.99,
  },
  full: {
    name: "full",
    about: "for a GPU: all of CIFAR-10, a student of nine blocks",
    data: { source: "cifar10", full: "cifar10" },
    student: vit(192, 9, 3, 4),
    teacher: vit(192, 9, 3, 4),
    epochs: { distillation: 100, ablation: 100, teacher: 100, transfer: 30, largest: 300 },
    batchSize: 128,
    lr: 1e-3,
    sgdLr: 3e-2,
    shards: 4,
    emaDecay: 0.999,
  },
};

/** All runs at a scale, each after the runs that it needs. */
export function experiments(scale: Scale): Experiment[] {
  const { student, batchSize, lr, shards } = scale;
  const base = { batchSize, lr, scaleLr: false, schedule: "step", minLr: 1e-5, warmupEpochs: 2, emaDecay: null };
  // Small images and few epochs: only crop and flip, so that the tables on distillation and transfer show those effects alone.
  const plain = { ...base, dropPath: 0, mixup: 0, cutmix: 0, autoAugment: null, colorJitter: 0, erasing: 0, repeats: 1 };
  const distilled = { ...student, distilled: true };
  const { epochs } = scale;
  const row = (label: string, paper?: number, answer: Answer = "model"): Row => ({
    label,
    answer,
    ...(paper === undefined ? {} : { paper }),
  });

  const distillation = (id: string, rows: readonly Row[], more: Partial<Experiment>, recipe: object): Experiment => ({
    id: `distillation/${id}`,
    table: "distillation",
    rows,
    model: student,
    data: "source",
    ...more,
    recipe: { ...plain, epochs: epochs.distillation, ...recipe },
  });
  const ablation = (id: string, label: string, paper: number, recipe: object, more: Partial<Experiment> = {}): Experiment => ({
    id: `ablation/${id}`,
    table: "ablation",
    rows: [row(label, paper)],
    model: student,
    data: "source",
    ...more,
    recipe: { ...base, shards, epochs: epochs.ablation, ...recipe },
  });
  const transfer = (id: string, label: string, paper: number | undefined, recipe: object, from?: string): Experiment => ({
    id: `transfer/${id}`,
    table: "transfer",
    rows: [row(label, paper)],
    model: scale.teacher,
    data: "target",
    ...(from ? { from } : {}),
    recipe: { ...plain, warmupEpochs: 1, epochs: epochs.transfer, ...recipe },
  });

  const P = DISTILLATION;
  return [
    distillation("none", [row("no distillation", P.none)], {}, {}),
    distillation(
      "token-cnn",
      [
        row("hard, distillation token: class head", P.tokenCls, "cls"),
        row("hard, distillation token: distillation head", P.tokenDist, "dist"),
        row("hard, distillation token: both heads", P.tokenBoth),
      ],
      { model: distilled, teacher: "cnn" },
      { distillation: "hard" },
    ),
    distillation("hard", [row("hard, one token", P.hard)], { teacher: "cnn" }, { distillation: "hard", singleToken: true }),
    distillation(
      "soft",
      [row("soft (tau 3, weight 0.1), one token", P.soft)],
      { teacher: "cnn" },
      { distillation: "soft", singleToken: true, alpha: 0.1, tau: 3 },
    ),
    {
      id: "teacher/deit",
      table: "largest",
      rows: [row(`no teacher, ${epochs.teacher} epochs (the DeiT teacher above)`)],
      model: scale.teacher,
      data: "full",
      once: true,
      recipe: { ...plain, epochs: epochs.teacher, warmupEpochs: 0.5 },
    },
    {
      id: "largest/distilled",
      table: "largest",
      model: { ...scale.teacher, distilled: true },
      data: "full",
      teacher: "cnn",
      once: true,
      rows: [
        row(`hard from the CNN, ${epochs.largest} epochs: class head`, undefined, "cls"),
        row(`hard from the CNN, ${epochs.largest} epochs: distillation head`, undefined, "dist"),
        row(`hard from the CNN, ${epochs.largest} epochs: both heads`),
      ],
      recipe: { ...plain, epochs: epochs.largest, warmupEpochs: 0.5, distillation: "hard" },
    },
    distillation(
      "token-deit",
      [
        row("hard from the DeiT teacher: class head", undefined, "cls"),
        row("hard from the DeiT teacher: distillation head", undefined, "dist"),
        row("hard from the DeiT teacher: both heads", P.fromDeit),
      ],
      { model: distilled, teacher: "deit" },
      { distillation: "hard" },
    ),

    transfer("scratch", "from scratch", TRANSFER.scratch, {}),
    transfer("all", "pretrained, all weights tuned", TRANSFER.pretrained, {}, "teacher/deit"),
    transfer("attention", "pretrained, attention and classifier tuned", undefined, { trainOnly: "attention" }, "teacher/deit"),
    transfer("head", "pretrained, classifier tuned", undefined, { trainOnly: "head" }, "teacher/deit"),

    ablation("reference", "the paper's recipe", ABLATION.reference, {}),
    ablation("sgd", "SGD for AdamW", ABLATION.sgd, { optimizer: "sgd", lr: scale.sgdLr }),
    ablation("no-randaugment", "no RandAugment", ABLATION.noRandAugment, { autoAugment: null }),
    ablation("autoaugment", "AutoAugment for RandAugment", ABLATION.autoAugment, { autoAugment: "original" }),
    ablation("no-mixup", "no mixup", ABLATION.noMixup, { mixup: 0 }),
    ablation("no-cutmix", "no CutMix", ABLATION.noCutmix, { cutmix: 0 }),
    ablation("no-mixing", "neither mixup nor CutMix", ABLATION.noMixing, { mixup: 0, cutmix: 0 }),
    ablation("no-erasing", "no random erasing", ABLATION.noErasing, { erasing: 0 }),
    ablation("no-droppath", "no stochastic depth", ABLATION.noDropPath, { dropPath: 0 }),
    ablation("no-repeats", "no repeated augmentation", ABLATION.noRepeats, { repeats: 1 }),
    ablation("dropout", "with dropout 0.1", ABLATION.dropout, { dropout: 0.1 }),
    ablation("ema", "with EMA", ABLATION.ema, { emaDecay: scale.emaDecay }, { ema: true }),
  ];
}
