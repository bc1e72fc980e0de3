/** What results.json holds, which the Markdown and the page are made of. */
import type { TableName } from "../../train/experiments/experiment.ts";
import type { Scale } from "../../train/experiments/scales.ts";
import type { Agreement } from "./agreement.ts";
import type { Verdict } from "./claims.ts";
import type { Outcome } from "./outcome.ts";
import type { Mirror } from "./pytorch.ts";
import type { Estimate } from "./statistics.ts";
import type { Teachers } from "./teacher.ts";

/** One line of a table, in percent. */
export interface Line {
  readonly label: string;
  readonly id: string;
  readonly values: readonly number[];
  readonly mean: number;
  readonly deviation: number | null;
  /** From the group's first line. */
  readonly gain: Estimate | null;
  /** Of the training pictures: without augmentation where that was judged, else as they were shown. */
  readonly trainTop1: number;
  readonly paper: number | null;
  readonly paperGain: number | null;
  /** PyTorch and timm, with the same settings. */
  readonly mirror: Mirror | null;
}

export interface LineGroup {
  readonly title: string;
  readonly at: { readonly axis: string; readonly value: number } | null;
  readonly lines: readonly Line[];
}

/** A learning curve: the mean over seeds after each evaluated epoch, in percent. */
export interface Curve {
  readonly label: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

export interface TableResult {
  readonly name: TableName;
  readonly title: string;
  readonly about: readonly string[];
  readonly groups: readonly LineGroup[];
  readonly curves: readonly { readonly title: string; readonly lines: readonly Curve[] }[];
}

export interface Results {
  readonly scale: Scale;
  readonly teachers: Teachers;
  readonly verdicts: readonly Verdict[];
  readonly tables: readonly TableResult[];
  readonly agreement: Agreement | null;
  readonly outcomes: readonly Outcome[];
}
