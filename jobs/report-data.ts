/** Data of a training's report, or of two side by side; embedded in the page as JSON. */
import type { EpochMetrics, StepMetrics } from "../train/train.ts";
import type { Comparison } from "./demo/answers.ts";

export interface RunSummary {
  /** "distilled" or "without the teacher". */
  readonly title: string;
  readonly recipe: Readonly<Record<string, unknown>>;
  /** Reduced to a few hundred points. */
  readonly steps: readonly Pick<StepMetrics, "step" | "loss" | "base" | "distill" | "lr" | "trainTop1">[];
  readonly epochs: readonly EpochMetrics[];
  readonly imagesPerSecond: number;
  readonly seconds: number;
  readonly launchesPerStep: number;
  /** Peak bytes of GPU memory. */
  readonly gpuBytes: number;
}

export interface Sample {
  /** base64 of bytes (3, side, side). */
  readonly pixels: string;
  readonly label: string;
  /** Best three classes with probabilities. */
  readonly teacher: readonly [string, number][];
  readonly distilled: readonly [string, number][];
  readonly plain: readonly [string, number][];
  /** Attention of the distilled student's class and distillation token over the patches, row by row. */
  readonly attentionCls: readonly number[];
  readonly attentionDist: readonly number[];
}

export interface ReportData {
  readonly title: string;
  readonly date: string;
  readonly command: string;
  readonly commit: string;
  readonly adapter: { readonly name: string; readonly software: boolean; readonly where: string };
  readonly data: {
    readonly name: string;
    readonly train: number;
    readonly test: number;
    readonly classes: readonly string[];
    readonly side: number;
  };
  readonly student: {
    readonly name: string;
    readonly params: number;
    readonly macs: number;
    readonly config: Readonly<Record<string, unknown>>;
  };
  /** `top1` null: not evaluated in this run. */
  readonly teacher: {
    readonly name: string;
    readonly params: number;
    readonly macs: number;
    readonly top1: number | null;
    readonly trainedOn: string;
  } | null;
  /** Patches per side in the samples' attention maps. */
  readonly patches: number;
  readonly runs: readonly RunSummary[];
  readonly samples: readonly Sample[];
  /** Of two runs on the same test images: what each gets right. Absent where there is one run. */
  readonly comparison?: Comparison;
  readonly seconds: number;
}

const POINTS = 400;

/** The steps that are drawn. */
export function thinned(steps: readonly StepMetrics[]): RunSummary["steps"] {
  const every = Math.max(1, Math.ceil(steps.length / POINTS));
  return steps
    .filter((_, i) => i % every === 0)
    .map(({ step, loss, base, distill, lr, trainTop1 }) => ({ step, loss, base, distill, lr, trainTop1 }));
}
