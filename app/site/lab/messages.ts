/** What the lab's page and the worker that computes say to each other. */
import type { CaseVerdict } from "../../../jobs/lab/check.ts";
import type { Seen } from "../../../jobs/lab/debug.ts";
import type { Draft } from "../../../jobs/lab/draft-text.ts";
import type { ShapeTime } from "../../../jobs/lab/shapes.ts";
import type { StepVerdict } from "../../../jobs/lab/step.ts";
import type { Roofline, TimeVerdict } from "../../../jobs/lab/time.ts";

/** A module that can be edited. */
export interface Kernel {
  /** "layerNorm.forward, forward, 788x192", unique within an operation. */
  readonly name: string;
  readonly label: string;
  readonly code: string;
}

export interface Message {
  /** From 1; 0 where no line is meant. */
  readonly line: number;
  readonly column: number;
  readonly length: number;
  readonly kind: "error" | "warning" | "info";
  readonly text: string;
  /** Of a new operation: which of its kernels, from 0. */
  readonly kernel?: number;
}

export const inLine = ({ kernel, line, text }: Message): string =>
  `${kernel === undefined ? "" : `kernel ${kernel + 1}, `}${line > 0 ? `line ${line}: ` : ""}${text}`;

export interface Work {
  /** Counts edits; answers carry it, so that those to an older text are told from the newest. */
  readonly edit: number;
  readonly op: string;
  readonly shipped: Kernel;
  readonly code: string;
}

export type ToWorker =
  /** `sizes`: what the kernels are listed at first; null for the operation's own. */
  | { readonly kind: "open"; readonly op: string; readonly sizes: string | null }
  | ({ readonly kind: "judge" } & Work)
  /** Times a training step with the text and without. */
  | ({ readonly kind: "step" } & Work)
  /** Times the text at all sizes. */
  | ({ readonly kind: "shapes" } & Work)
  /** Runs the text once and tells what its `dbg` saw. */
  | ({ readonly kind: "debug"; readonly threads: string } & Work)
  | { readonly kind: "draft"; readonly edit: number; readonly draft: Draft }
  | { readonly kind: "debugDraft"; readonly edit: number; readonly draft: Draft; readonly threads: string };

export type FromWorker =
  | { readonly kind: "ready"; readonly adapter: string; readonly software: boolean; readonly ops: readonly string[] }
  | { readonly kind: "opened"; readonly op: string; readonly kernels: readonly Kernel[] }
  | { readonly kind: "compiled"; readonly edit: number; readonly messages: readonly Message[] }
  /** A compiler may be silent for longer than a kernel that is to end. */
  | { readonly kind: "phase"; readonly edit: number; readonly compiling: boolean }
  | { readonly kind: "case"; readonly edit: number; readonly verdict: CaseVerdict; readonly of: number }
  | {
      readonly kind: "timed";
      readonly edit: number;
      readonly time: TimeVerdict | null;
      readonly roofline: Roofline | null;
      readonly why: string;
    }
  | { readonly kind: "judged"; readonly edit: number; readonly ms: number }
  | { readonly kind: "stepped"; readonly edit: number; readonly step: StepVerdict | null }
  | { readonly kind: "shape"; readonly edit: number; readonly shape: ShapeTime }
  | { readonly kind: "shaped"; readonly edit: number }
  | { readonly kind: "debugged"; readonly edit: number; readonly seen: Seen }
  | { readonly kind: "failed"; readonly edit: number; readonly message: string };
