/** What the lab's page and the worker that computes say to each other. */
import type { CaseVerdict } from "../../../jobs/lab/check.ts";
import type { Roofline, TimeVerdict } from "../../../jobs/lab/time.ts";

/** A module that can be edited. */
export interface Kernel {
  /** "layerNorm.forward, forward, 788x192", unique within an operation. */
  readonly name: string;
  readonly label: string;
  readonly code: string;
}

export interface Message {
  readonly line: number;
  readonly column: number;
  readonly length: number;
  readonly kind: "error" | "warning" | "info";
  readonly text: string;
}

export interface Work {
  /** Counts edits; answers carry it, so that those to an older text are told from the newest. */
  readonly edit: number;
  readonly op: string;
  readonly shipped: Kernel;
  readonly code: string;
}

/** `sizes`: what the kernels are listed at first; null for the operation's own. */
export type ToWorker = { readonly kind: "open"; readonly op: string; readonly sizes: string | null } | ({ readonly kind: "judge" } & Work);

export type FromWorker =
  | { readonly kind: "ready"; readonly adapter: string; readonly software: boolean; readonly ops: readonly string[] }
  | { readonly kind: "opened"; readonly op: string; readonly kernels: readonly Kernel[] }
  | { readonly kind: "compiled"; readonly edit: number; readonly messages: readonly Message[] }
  | { readonly kind: "case"; readonly edit: number; readonly verdict: CaseVerdict; readonly of: number }
  | {
      readonly kind: "timed";
      readonly edit: number;
      readonly time: TimeVerdict | null;
      readonly roofline: Roofline | null;
      readonly why: string;
    }
  | { readonly kind: "judged"; readonly edit: number; readonly ms: number }
  | { readonly kind: "failed"; readonly edit: number; readonly message: string };
