/** What it takes to be measured. A contender may be anything that computes a case's results. */
import type { Benchmark, Inputs } from "./benchmark.ts";
import type { LaunchTime } from "../train/profile.ts";

/** A case made ready to run. */
export interface Prepared {
  /** Launches the work so many times, then waits until all of it is done. */
  run(times: number): Promise<void>;
  /** Results of the latest run, in PyTorch's layout and in this order: y, gradients of the inputs; logits; loss. */
  result(): Promise<readonly Float32Array[]>;
  /** One more run by the GPU's own clock, in ms: the sum of its launches. Only where there is such a clock. */
  gpuMs?(): Promise<number>;
  /** The same, launch by launch. */
  profile?(): Promise<readonly LaunchTime[]>;
  /** Kernels in one run. */
  readonly launches?: number;
  /** What one run keeps this thread busy, in ms: recording nothing, waiting for nothing. Leaves the GPU idle. */
  threadMs?(): Promise<number>;
  /** Bytes on the device for this case, as the library itself counts them. */
  bytes?(): number;
  /** Gives its memory back. */
  dispose(): void;
}

export interface Contender {
  readonly name: string;
  readonly version: string;
  /** Settings that a reader of the figures should know, and where it runs if not on the adapter. */
  readonly flags: Readonly<Record<string, unknown>>;
  /** Rejects, with the reason, where it has no way to compute this case. */
  prepare(c: Benchmark, inputs: Inputs): Promise<Prepared>;
  /** Ends what runs beside this process. */
  close?(): void;
}

/** What a rival is given to start on. */
export interface RivalOptions {
  /** How we wait for the GPU ourselves; a rival waits the same way. */
  readonly wait: <T>(promise: Promise<T>) => Promise<T>;
  /** Our adapter; a rival on another one must refuse. */
  readonly adapter: AdapterId;
  /** For files that a library loads by itself, a URL with a slash behind: in Node the folder of `npm ci`, in a page its node_modules. */
  readonly base: string;
}

export interface AdapterId {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
}

/** Each module of bench/rivals exports one as its default. */
export type StartRival = (options: RivalOptions) => Promise<Contender>;

/** Throws unless a rival computes on our adapter: else its times would say nothing about ours. */
export function sameAdapter(who: string, adapter: AdapterId, { vendor, architecture, device, description }: AdapterId): void {
  const name = (a: AdapterId) => [a.vendor, a.architecture, a.device, a.description].join(" ");
  const own = name({ vendor, architecture, device, description });
  if (own !== name(adapter)) throw new Error(`${who}: expected the adapter "${name(adapter)}", got "${own}"`);
}
