/** What it takes to be measured. A contender may be anything that computes a case's results on the same adapter. */
import type { Case, Inputs } from "./cases.ts";

/** A case made ready to run. */
export interface Prepared {
  /** Launches the work so many times, then waits until the adapter has done it all. */
  run(times: number): Promise<void>;
  /** Results of the latest run, in PyTorch's layout and in this order: y, gradients of the inputs; logits; loss. */
  result(): Promise<readonly Float32Array[]>;
  /** Gives its memory back. */
  dispose(): void;
}

export interface Contender {
  readonly name: string;
  readonly version: string;
  /** Settings that a reader of the figures should know. */
  readonly flags: Readonly<Record<string, unknown>>;
  /** Resolves to `null` where it has no way to compute this case. */
  prepare(c: Case, inputs: Inputs): Promise<Prepared | null>;
}

/** What a rival is given to start on. */
export interface RivalOptions {
  /** How we wait for the GPU ourselves; a rival waits the same way. */
  readonly wait: <T>(promise: Promise<T>) => Promise<T>;
  /** Our adapter; a rival on another one must refuse. */
  readonly adapter: { readonly vendor: string; readonly architecture: string; readonly device: string; readonly description: string };
}
