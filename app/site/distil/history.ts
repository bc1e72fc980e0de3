/** The runs of this page, kept over a reload; the newest first. Pictures and attention are made anew and not kept. */
import type { Evaluated, Facts, Settings, StepProfile, StepReport } from "./messages.ts";

export interface RunState {
  readonly id: string;
  readonly settings: Settings;
  /** The run that this one branched from, and the step it was paused at; absent for one from scratch. */
  readonly from?: { readonly run: string; readonly step: number };
  readonly steps: readonly StepReport[];
  readonly evaluations: readonly Evaluated[];
  readonly facts: Partial<Facts>;
  /** The newest step that was timed launch by launch. */
  readonly profile?: StepProfile;
  readonly finished: boolean;
}

const KEY = "tessera-distil";
/** Points of a curve that are kept over a reload. */
const KEPT = 400;

const thinned = <T>(items: readonly T[]): readonly T[] => {
  const stride = Math.ceil(items.length / KEPT);
  return items.filter((_, i) => i % stride === 0 || i === items.length - 1);
};

export function load(): readonly RunState[] {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "[]") as RunState[];
  } catch {
    return []; // nothing is kept in private windows, and what another version kept is no use
  }
}

export function save(runs: readonly RunState[]): void {
  try {
    const kept = runs.map((run) => ({ ...run, steps: thinned(run.steps), evaluations: run.evaluations.map((e) => ({ ...e, looks: [] })) }));
    localStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // A full or forbidden storage costs the curves of a reload, nothing else.
  }
}
