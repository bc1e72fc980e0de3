/** Sees what each launch wrote, right after it: for debuggers, which run a step launch by launch instead of recorded. */
import type { Tensor } from "./tensor.ts";

/** The kernel's name, and by their names the tensors that it wrote. It may launch kernels of its own, which are not watched. */
export type Watcher = (kernel: string, written: Readonly<Record<string, Tensor>>) => void;

let watcher: Watcher | null = null;

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

export function watched(kernel: string, written: () => Readonly<Record<string, Tensor>>): void {
  const to = watcher;
  if (!to) return;
  watcher = null;
  try {
    to(kernel, written());
  } finally {
    watcher = to;
  }
}
