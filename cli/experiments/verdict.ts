/** Compares a table with the paper's: a difference counts if it exceeds two standard errors. */
import type { Scale, Table } from "../../train/experiments/suite.ts";
import type { Line } from "./tables.ts";

const CLEAR = 2;

/** +1 better, -1 worse, 0 not told apart; `null` where one seed says nothing. */
export function direction({ gain }: Line): 1 | 0 | -1 | null {
  if (!gain || gain.error === null) return null;
  if (Math.abs(gain.mean) <= CLEAR * gain.error) return 0;
  return gain.mean > 0 ? 1 : -1;
}

/** Differences in the paper below this are noise: two of its runs differ by 0.2 points (table 8). */
const PAPER_SPREAD = 0.2;

export function verdict(table: Table, lines: readonly Line[], scale: Scale["name"]): string[] {
  const judged = lines.filter((l) => l.gain);
  const names = (of: readonly Line[]) => of.map((l) => l.label).join("; ");
  const groups = new Map<string, Line[]>();
  for (const line of judged) {
    const ours = direction(line);
    const paper = line.paperGain === null ? null : Math.abs(line.paperGain) <= PAPER_SPREAD ? 0 : line.paperGain > 0 ? 1 : -1;
    const key =
      ours === null
        ? "one seed"
        : ours === 0
          ? "unclear"
          : paper === null
            ? ours > 0
              ? "better"
              : "worse"
            : ours === paper
              ? "agrees"
              : "differs";
    groups.set(key, [...(groups.get(key) ?? []), line]);
  }
  const say: [string, string][] = [
    ["agrees", "As in the paper, beyond two standard errors"],
    ["differs", "Other than in the paper, beyond two standard errors"],
    ["better", "Better than the first row beyond two standard errors, no figure in the paper"],
    ["worse", "Worse than the first row beyond two standard errors, no figure in the paper"],
    ["unclear", "Within two standard errors of the first row"],
    ["one seed", "One seed: not judged"],
  ];
  return [...say.flatMap(([key, text]) => (groups.has(key) ? [`${text}: ${names(groups.get(key)!)}.`] : [])), ...(WHY[scale][table] ?? [])];
}

const TRANSFER =
  "The paper transfers from a million images of the same kind to the target; here the source is CIFAR-10 and the target grey pictures of clothes.";
const LARGEST = "One run each, and not of the same length: what a DeiT from scratch reached here, not a comparison.";

/** Notes on how to read a scale's figures. Those of scale "small" describe results/small. */
const WHY: Readonly<Record<Scale["name"], Readonly<Partial<Record<Table, readonly string[]>>>>> = {
  full: { transfer: [TRANSFER], largest: [`${LARGEST} Hours and images per second are in results.json.`] },
  small: {
    distillation: [
      "A student here sees each image some twenty times, the paper's three hundred times. A DeiT teacher that is right less often than the CNN still taught more: our reading, not tested, is that its mistakes are those of a student of the same kind, and easier to follow in few steps; the paper's students have the time to learn what only a CNN sees.",
    ],
    ablation: [
      "The paper's recipe is for 300 epochs of a million images, where a model that sees everything clearly would learn it by heart. In some hundred steps a small student does not get that far: compare test with train top-1 (of augmented, mixed images), and expect what makes images harder to slow learning down.",
    ],
    transfer: [TRANSFER],
    largest: [`${LARGEST} Of a software adapter; hours and images per second are in results.json.`],
  },
};
