/** What an experiment is made of, as data: runs, and the rows of tables that show them. This folder runs nothing. */

export const TARGETS = ["fashion", "digits", "letters"] as const;

/** A set of pictures, and how many of each class are trained on. Test pictures are the same for every number. */
export type SetName = `${"cifar10" | (typeof TARGETS)[number]}/${number | "all"}`;

/**
 * Weights that a run is taught by, or begins with. "cnn": the teacher that is given, or ships. "equal-cnn", "equal-deit": those of the
 * table of teachers whose accuracies are nearest. "best-deit": the best DeiT of that table, or the one that is given.
 */
export type Source = "cnn" | "equal-cnn" | "equal-deit" | "best-deit";

/** The answer of a trained model that a row measures: its own, one head's of a distilled model, or that of its averaged weights. */
export type Answer = "model" | "cls" | "dist" | "ema";

export type Settings = Readonly<Record<string, unknown>>;

/** One `train` command, or nearest neighbours on the features of `from`. A seed comes on top. */
export interface Run {
  /** Folder of its results. Runs of the same settings have the same. */
  readonly id: string;
  readonly kind: "train" | "neighbours";
  /** "best-deit": the model that those weights are of. */
  readonly model: Settings | "best-deit";
  readonly recipe: Settings;
  readonly data: SetName;
  readonly teacher?: Source;
  /** Begins with these weights, and a classifier of its own. */
  readonly from?: Source;
  /** Judged by all test pictures of this set when it is trained, its answers kept; else by the test pictures of `data`. */
  readonly judged?: SetName;
  /** The moving average of its weights is judged too, and gives the answer "ema". */
  readonly averaged?: boolean;
  /** Evaluations on the way: the points of its learning curve, the last one included. */
  readonly points: number;
  /** Runs with so many seeds at most. */
  readonly seeds?: number;
}

export interface Row {
  readonly label: string;
  readonly run: Run;
  readonly answer: Answer;
  /** The paper's top-1 in percent, where it has this row. */
  readonly paper?: number;
  /** Also run by PyTorch and timm, which train.py beside this file does. */
  readonly mirrored?: boolean;
}

/** Rows that are compared with the first of them. */
export interface Group {
  readonly title: string;
  readonly rows: readonly Row[];
  /** Groups of one axis are drawn as one chart: a line for each label, over `value`. */
  readonly at?: { readonly axis: string; readonly value: number };
}

/** Learning curves of some rows: accuracy on the test pictures, or on the training pictures as they were shown. */
export interface Curves {
  readonly title: string;
  readonly of: "test" | "train";
  readonly rows: readonly Row[];
}

export const TABLES = ["regimes", "teachers", "distillation", "ablation", "transfer"] as const;
export type TableName = (typeof TABLES)[number];

export interface Table {
  readonly name: TableName;
  readonly title: string;
  /** What is asked, in which regime, and why in that one. */
  readonly about: readonly string[];
  readonly groups: readonly Group[];
  readonly curves: readonly Curves[];
}

type More = Partial<Omit<Row, "label" | "run">>;

export const row = (label: string, run: Run, { answer = "model", ...more }: More = {}): Row => ({ label, run, answer, ...more });

/** The three answers of a model with a distillation token. `paper`: their figures, class head first. */
export const heads = (label: string, run: Run, paper: readonly (number | undefined)[] = [], more: More = {}): Row[] =>
  (
    [
      ["class head", "cls"],
      ["distillation head", "dist"],
      ["both heads", "model"],
    ] as const
  ).map(([head, answer], i) => ({
    ...row(`${label}: ${head}`, run, { answer, ...more }),
    ...(paper[i] === undefined ? {} : { paper: paper[i] }),
  }));

/** Pictures of a class that a set is trained on; CIFAR-10 has 5,000. */
export const perClass = (data: SetName): number => {
  const number = data.split("/")[1]!;
  return number === "all" ? 5000 : Number(number);
};

/** Training pictures that a run is shown. */
export const imagesOf = ({ kind, data, recipe }: Run): number =>
  kind === "neighbours" ? 0 : 10 * perClass(data) * Number(recipe["epochs"]);
