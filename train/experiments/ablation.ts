/** Which ingredients of the recipe pay? The paper's table 8: each off in turn, where a plain model learns its set by heart. */
import { row, type Row, type Settings, type Table } from "./experiment.ts";
import { ABLATION as PAPER } from "./paper.ts";
import { words, type Regime, type Scale } from "./scales.ts";
import { PLAIN, warmup } from "./students.ts";

interface Ingredient {
  readonly label: string;
  readonly paper?: number;
  /** What changes in the paper's recipe. */
  readonly change: Settings;
}

/** Each is a row of the table; an entry here is all that another one needs. */
export const INGREDIENTS = {
  reference: { label: "the paper's recipe", paper: PAPER.reference, change: {} },
  sgd: { label: "SGD for AdamW", paper: PAPER.sgd, change: { optimizer: "sgd" } },
  "no-randaugment": { label: "no RandAugment", paper: PAPER.noRandAugment, change: { autoAugment: null, colorJitter: 0 } },
  autoaugment: { label: "AutoAugment for RandAugment", paper: PAPER.autoAugment, change: { autoAugment: "original" } },
  "no-mixup": { label: "no mixup", paper: PAPER.noMixup, change: { mixup: 0 } },
  "no-cutmix": { label: "no CutMix", paper: PAPER.noCutmix, change: { cutmix: 0 } },
  "no-mixing": { label: "neither mixup nor CutMix", paper: PAPER.noMixing, change: { mixup: 0, cutmix: 0 } },
  "no-erasing": { label: "no random erasing", paper: PAPER.noErasing, change: { erasing: 0 } },
  "no-droppath": { label: "no stochastic depth", paper: PAPER.noDropPath, change: { dropPath: 0 } },
  "no-repeats": { label: "no repeated augmentation", paper: PAPER.noRepeats, change: { repeats: 1 } },
  dropout: { label: "with dropout 0.1", paper: PAPER.dropout, change: { dropout: 0.1 } },
  "crop-flip": { label: "crop and flip only", change: PLAIN },
  nothing: { label: "nothing at all", change: { ...PLAIN, crop: "none", hflip: 0 } },
} as const satisfies Readonly<Record<string, Ingredient>>;

export type IngredientName = keyof typeof INGREDIENTS;

/** A row of the table, at a length. */
export function ablated(scale: Scale, name: IngredientName, { perClass, epochs }: Regime, seeds?: number): Row {
  const { label, change, ...rest }: Ingredient = INGREDIENTS[name];
  const run = {
    id: `ablation/${name}/${perClass}x${epochs}`,
    kind: "train",
    model: scale.student,
    recipe: {
      ...{ ...scale.recipe, shards: 4, emaDecay: scale.emaDecay },
      ...{ epochs, warmupEpochs: warmup(epochs) },
      ...change,
      ...(name === "sgd" ? { lr: scale.sgdLr } : {}),
    },
    data: `cifar10/${perClass}`,
    judged: scale.judged,
    points: 8,
    ...(name === "reference" ? { averaged: true } : {}),
    ...(seeds === undefined ? {} : { seeds }),
  } as const;
  return row(label, run, { ...rest, mirrored: (name === "crop-flip" || name === "nothing") && seeds === undefined });
}

export function ablation(scale: Scale): Table {
  const at = scale.ablation;
  const names = Object.keys(INGREDIENTS) as IngredientName[];
  const rows = names.map((name) => ablated(scale, name, at));
  const ends = (["nothing", "crop-flip", "reference"] as const).map((name) => ablated(scale, name, at));
  return {
    name: "ablation",
    title: "Ablation (table 8)",
    about: [
      `${words(at)}. Augmentation can pay only where a student without it learns its set by heart. Each row changes one thing of the paper's recipe; SGD has a rate of its own (${scale.sgdLr}).`,
    ],
    groups: [
      { title: "The recipe with one thing changed", rows: [...rows, row("with EMA", rows[0]!.run, { answer: "ema", paper: PAPER.ema })] },
    ],
    curves: [
      { title: "Accuracy on the training pictures as shown, by epoch", of: "train", rows: ends },
      { title: "Test accuracy by epoch", of: "test", rows: ends },
    ],
  };
}
