/**
 * A pass over a recorded step: launches that only add up partial sums are done together (joined-sums.ts) where their results lie in one
 * existing buffer, and nothing between them reads those or changes what they read.
 */
import { askForPass, overlap, withRecorder, type Launch } from "../../engine/launch.ts";
import type { Storage } from "../../engine/memory.ts";
import { Tensor } from "../../engine/tensor.ts";
import { fitTogether, joinSums, type PartsSum } from "./joined-sums.ts";

const sums = new WeakMap<Launch, readonly PartsSum[]>();

/** The sums that a launch makes, where it does nothing else. */
export const sumsOf = (launch: Launch): readonly PartsSum[] => sums.get(launch) ?? [];

/** Says that the latest launch makes these sums and nothing else. */
export function sumsMayJoin(made: readonly PartsSum[]): void {
  const whole = made.every(({ parts, y }) => y.size % 4 === 0 && parts.storage.bytes % 16 === 0);
  const launch = whole ? askForPass(joined) : null;
  if (launch) sums.set(launch, made);
}

/** The launches of a recording that has ended, with those joined that can be. */
export function joined(launches: readonly Launch[]): Launch[] {
  const all: Launch[] = [];
  let waiting: Launch[] = [];
  const end = () => {
    if (waiting.length < 2) all.push(...waiting);
    else {
      const [together, storage] = [waiting.flatMap(sumsOf), targetOf(waiting[0]!)!];
      const at = together.map(({ y, ...sum }) => ({ ...sum, at: (y.storage.place.offset + y.offset) / 4 }));
      withRecorder({ launches: all }, () => joinSums(new Tensor([storage.bytes / 4], "f32", storage), at));
      sums.set(all.at(-1)!, together);
    }
    waiting = [];
  };
  for (const l of launches) {
    const target = sums.has(l) ? targetOf(l) : null;
    const other = target && waiting[0] && (targetOf(waiting[0]) !== target || !fitTogether([...waiting, l].flatMap(sumsOf)));
    if (other || waiting.some((w) => meet(w, l))) end();
    (target ? waiting : all).push(l);
  }
  end();
  return all;
}

/** The existing memory that all results of a launch are placed in; `null` where that is not one buffer. */
function targetOf({ bindings }: Launch): Storage | null {
  const written = bindings.filter(({ access }) => access !== "read");
  const [target, ...others] = new Set(written.map(({ storage }) => storage.placed?.storage ?? null));
  return others.length === 0 ? (target ?? null) : null;
}

/** Whether one of the launches writes memory that the other reads or writes. */
const meet = (a: Launch, b: Launch): boolean =>
  a.bindings.some((x) => b.bindings.some((y) => (x.access !== "read" || y.access !== "read") && overlap(x, y)));
