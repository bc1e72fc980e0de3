/** Puts a debugger around the parts of a step, which then runs launch by launch instead of recorded (train/debug.ts). */
import { Ambient } from "./ambient.ts";
import type { Tensor } from "./tensor.ts";
import type { Bound } from "./wgsl.ts";

/** A phase of a step, a differentiable operation's forward or backward in it, or a launch in that. */
export type Part =
  | { readonly phase: "forward" | "backward" | "optimizer" }
  /** Its result is `{ y }`, or its gradients; `inputs` is the same array in forward and backward. */
  | { readonly op: string; readonly inputs: readonly (Tensor | null)[] }
  | { readonly kernel: string; readonly tensors: readonly Bound[] };

/** Called in place of each part: calls `run`, once, and returns its result. */
export type Watcher = <T>(part: Part, run: () => T) => T;

const watcher = new Ambient<Watcher | null>(null);

/** Runs `body` with its parts watched; unwatched with null, as for the launches of a watcher itself. */
export const withWatcher = <T>(to: Watcher | null, body: () => T): T => watcher.during(to, body);

/** Runs a part of a step, in the watcher's hands where there is one. */
export const watched = <T>(part: Part, run: () => T): T => (watcher.now ? watcher.now(part, run) : run());
