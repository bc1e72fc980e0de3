/** The paper's claims, each as comparisons of two rows. A comparison is judged by runs of equal seeds, by the rules beside the figures. */
import { ablated, type IngredientName } from "./ablation.ts";
import { row, TARGETS, type Row, type TableName } from "./experiment.ts";
import { words, type Regime, type Scale } from "./scales.ts";
import { student, type Method } from "./students.ts";
import { tuned } from "./transfer.ts";

/** `a` less `b`, of equal seeds. */
export interface Comparison {
  readonly label: string;
  readonly a: Row;
  readonly b: Row;
}

export interface Claim {
  readonly text: string;
  /** What the paper's figures say of `a` against `b`. */
  readonly expected: "better" | "same";
  readonly paper: string;
  readonly parts: readonly Comparison[];
  /** The same comparison in other regimes: the curve that explains the verdict. */
  readonly elsewhere: readonly Comparison[];
  /** The table whose curves show it. */
  readonly shown: TableName;
}

/** `a`, `b`: [method, answer] of a student of the given CNN. */
type Side = readonly [Method, Row["answer"]];

export function claims(scale: Scale): Claim[] {
  const at = scale.distillation;
  const others = [...scale.lengths, ...scale.sizes];
  const side = ([method, answer]: Side, regime: Regime): Row =>
    row(method, student(scale, method, regime, "cnn", regime === at ? undefined : scale.regimeSeeds), { answer });
  const compare = (label: string, a: Side, b: Side): Comparison => ({ label, a: side(a, at), b: side(b, at) });
  const elsewhere = (a: Side, b: Side, regimes: readonly Regime[] = others): Comparison[] =>
    regimes.map((regime) => ({ label: words(regime), a: side(a, regime), b: side(b, regime) }));
  const token = (teacher: "equal-cnn" | "equal-deit", answer: Row["answer"]) =>
    row(teacher, student(scale, "token", at, teacher), { answer });
  const off = (label: string, name: IngredientName): Comparison => ({
    label,
    a: ablated(scale, "reference", scale.ablation),
    b: ablated(scale, name, scale.ablation),
  });
  const ablationElsewhere = (name: IngredientName): Comparison[] =>
    scale.ablationLengths.map((regime) => ({
      label: words(regime),
      a: ablated(scale, "reference", regime),
      b: ablated(scale, name, regime),
    }));

  return [
    {
      text: "Hard distillation beats no distillation",
      expected: "better",
      paper: "83.0 against 81.8 with one token, 83.1 at the distillation head (table 3)",
      parts: [
        compare("one token", ["hard", "model"], ["none", "model"]),
        compare("the distillation head", ["token", "dist"], ["none", "model"]),
      ],
      elsewhere: elsewhere(["hard", "model"], ["none", "model"]),
      shown: "regimes",
    },
    {
      text: "Hard distillation beats soft distillation with the paper's settings",
      expected: "better",
      paper: "83.0 against 81.8, one token (table 3)",
      parts: [
        compare("one token", ["hard", "model"], ["soft-paper", "model"]),
        compare("the distillation head", ["token", "dist"], ["soft-paper", "model"]),
      ],
      elsewhere: [],
      shown: "distillation",
    },
    {
      text: "Soft distillation with the paper's settings is worth no more than none",
      expected: "same",
      paper: "81.8 and 81.8 (table 3)",
      parts: [compare("one token", ["soft-paper", "model"], ["none", "model"])],
      elsewhere: [],
      shown: "distillation",
    },
    {
      text: "A CNN teaches better than a transformer of equal accuracy",
      expected: "better",
      paper: "83.1 (RegNetY-16GF, 82.9) and 82.7 (RegNetY-8GF, 81.7) against 81.9 (DeiT-B, 81.8) (table 2)",
      parts: (
        [
          ["both heads", "model"],
          ["the distillation head", "dist"],
        ] as const
      ).map(([label, answer]) => ({ label, a: token("equal-cnn", answer), b: token("equal-deit", answer) })),
      elsewhere: [],
      shown: "distillation",
    },
    {
      text: "Both heads together beat either",
      expected: "better",
      paper: "83.4 against 83.0 (class) and 83.1 (distillation) (table 3)",
      parts: [
        compare("against the class head", ["token", "model"], ["token", "cls"]),
        compare("against the distillation head", ["token", "model"], ["token", "dist"]),
      ],
      elsewhere: elsewhere(["token", "model"], ["token", "dist"], scale.lengths),
      shown: "distillation",
    },
    {
      text: "AdamW beats SGD",
      expected: "better",
      paper: "81.8 against 74.5 (table 8)",
      parts: [off("the paper's recipe", "sgd")],
      elsewhere: [],
      shown: "ablation",
    },
    {
      text: "Augmentation pays",
      expected: "better",
      paper: "81.8; without RandAugment 79.6, mixup 78.7, CutMix 80.0, both 75.8, repeats 76.5; without erasing the run failed (table 8)",
      parts: [
        off("all of it, against nothing at all", "nothing"),
        off("all of it, against crop and flip", "crop-flip"),
        off("RandAugment", "no-randaugment"),
        off("mixup", "no-mixup"),
        off("CutMix", "no-cutmix"),
        off("mixup and CutMix", "no-mixing"),
        off("random erasing", "no-erasing"),
        off("repeated augmentation", "no-repeats"),
      ],
      elsewhere: ablationElsewhere("nothing"),
      shown: "ablation",
    },
    {
      text: "Stochastic depth pays",
      expected: "better",
      paper: "without it the run failed (table 8)",
      parts: [off("stochastic depth", "no-droppath")],
      elsewhere: [],
      shown: "ablation",
    },
    {
      text: "Pretraining transfers",
      expected: "better",
      paper: "99.1 against 97.5 from scratch, CIFAR-10 (table 7 and section 6.4)",
      parts: TARGETS.flatMap((target) =>
        scale.transfer.map((size) => ({
          label: `${target}, ${size.perClass} a class, all weights`,
          a: tuned(scale, target, size, "all"),
          b: tuned(scale, target, size, "scratch"),
        })),
      ),
      elsewhere: [],
      shown: "transfer",
    },
  ];
}
