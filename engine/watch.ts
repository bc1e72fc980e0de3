/** Sees each launch of a step, before and after: for debuggers, which run a step launch by launch instead of recorded. */
import type { Tensor } from "./tensor.ts";

export type Phase = "forward" | "backward" | "optimizer";

/** What a launch belongs to. */
export interface Place {
  readonly phase: Phase;
  /** The differentiable operation, and what it was given: the same array in its backward. `null` outside of one. */
  readonly op: { readonly name: string; readonly inputs: readonly (Tensor | null)[] } | null;
}

type Tensors = Readonly<Record<string, Tensor>>;

export interface Watched extends Place {
  readonly kernel: string;
  /** By the kernel's names: what it reads alone, what it changes, what it makes. */
  readonly inputs: Tensors;
  readonly updates: Tensors;
  readonly outputs: Tensors;
}

/** Called for every launch. It may launch kernels of its own, which are not watched. */
export interface Watcher {
  before(launch: Watched): void;
  after(launch: Watched): void;
  /** Called with what an operation, or its backward, returns. */
  result(tensor: Tensor): void;
}

let watcher: Watcher | null = null;
let place: Place = { phase: "forward", op: null };

/** Has `to` called for every launch of `body`. */
export function withWatcher<T>(to: Watcher, body: () => T): T {
  const before = watcher;
  watcher = to;
  try {
    return body();
  } finally {
    watcher = before;
  }
}

/** Runs `body`, whose launches are told to belong there. */
export function within<T>(there: Partial<Place>, body: () => T): T {
  if (!watcher) return body();
  const before = place;
  place = { ...place, ...there };
  try {
    return body();
  } finally {
    place = before;
  }
}

/** Shows a watcher what an operation returns. */
export const returned = (tensor: Tensor | null): void => {
  if (tensor) watcher?.result(tensor);
};

/** Runs `launch`, and has it watched where somebody does. */
export function watched(describe: () => Omit<Watched, keyof Place>, launch: () => void): void {
  const to = watcher;
  if (!to) return launch();
  const seen = { ...place, ...describe() };
  const unwatched = (call: (launch: Watched) => void) => {
    watcher = null;
    try {
      call(seen);
    } finally {
      watcher = to;
    }
  };
  unwatched((l) => to.before(l));
  launch();
  unwatched((l) => to.after(l));
}
