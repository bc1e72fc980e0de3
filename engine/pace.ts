/**
 * Cuts a plan's launches into submits of a bounded time: Windows resets a GPU that works on one submit for two seconds, and browsers have
 * watchdogs of their own. The first run submits each launch on its own and times it; later ones submit as many together as fit.
 */

/** GPU time per submit, at most; a launch that takes longer is a submit of its own. */
const MOST_MS = 100;

export class Pace<T> {
  readonly #launches: readonly T[];
  #submits: readonly (readonly T[])[];
  /** Runs that are still to be timed. A long step is timed twice: some drivers finish compiling in its first run. */
  #untimed: number;
  /** Resolves when the runs so far have been timed. */
  timed: Promise<void> = Promise.resolve();

  constructor(launches: readonly T[]) {
    this.#launches = launches;
    this.#submits = launches.map((launch) => [launch]);
    this.#untimed = launches.length > 1 ? 2 : 0;
  }

  /** Submits a run. */
  run(queue: GPUQueue, submit: (launches: readonly T[]) => void): void {
    if (this.#untimed === 0) return this.#submits.forEach(submit);
    this.#untimed--;
    // The first one is the end of what was submitted before this run.
    const done = () => queue.onSubmittedWorkDone().then(() => performance.now());
    const ends = [done(), ...this.#launches.map((launch) => (submit([launch]), done()))];
    this.timed = Promise.all(ends).then(
      (at) => {
        const ms = at.slice(1).map((end, i) => end - at[i]!);
        this.#submits = together(this.#launches, ms);
        if (this.#submits.length === 1) this.#untimed = 0;
      },
      () => undefined, // the device is lost: the next run says so
    );
  }
}

/** Groups of neighbouring launches, each as long as its times add up to `MOST_MS` at most. */
function together<T>(launches: readonly T[], ms: readonly number[]): T[][] {
  const total = ms.reduce((a, b) => a + b, 0);
  if (total <= MOST_MS) return [[...launches]];
  // A busy page hears of several ends at once, and the first launch seems to take all the time: each counts as half an even share at least.
  const least = total / ms.length / 2;
  const groups: T[][] = [];
  let room = 0;
  launches.forEach((launch, i) => {
    const needs = Math.max(ms[i]!, least);
    if (needs > room) groups.push([]);
    room = (needs > room ? MOST_MS : room) - needs;
    groups.at(-1)!.push(launch);
  });
  return groups;
}
