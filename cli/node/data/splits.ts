/** Which files and folders hold a split, by the names that data sets give it. */

/** `val` is what training and `eval` judge by; `test` is kept for the end. A set that has only one of the two gives it for both. */
export type Split = "train" | "val" | "test";

const VAL = ["val", "valid", "validation", "eval", "evaluation"];
const TEST = ["test", "testing", "t10k"];

/** In order of preference. */
export const SPLIT_NAMES: Readonly<Record<Split, readonly string[]>> = {
  train: ["train", "training"],
  val: [...VAL, ...TEST],
  test: [...TEST, ...VAL],
};

/** Words of a file's name, between anything but letters: imagenet1k-validation-00.tar has "validation". */
const words = (file: string): string[] => file.toLowerCase().split(/[^a-z]+/);

/** The split's name that a file's name holds; of several the last, as in imagenet-test-train-0001.tar. */
export const splitNameIn = (file: string): string | undefined =>
  words(file).findLast((word) => Object.values(SPLIT_NAMES).some((names) => names.includes(word)));

/** The first of the split's names that `there` has, and the others that stand for the split too. */
export function choose(
  split: Split,
  there: ReadonlySet<string>,
): { readonly chosen: string | undefined; readonly others: readonly string[] } {
  const [chosen, ...others] = SPLIT_NAMES[split].filter((name) => there.has(name));
  return { chosen, others };
}
