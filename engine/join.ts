/**
 * Small launches of a recorded step, done together: those of one kind (`mayJoin` of launch.ts) whose results lie in one existing buffer, where
 * nothing between them reads those or changes what they read.
 */
import { overlap, withRecorder, type Kind, type Launch, type Piece } from "./launch.ts";
import type { Storage } from "./memory.ts";

/** The launches of a recording that has ended, with those joined that can be. */
export function joined(launches: readonly Launch[]): Launch[] {
  const all: Launch[] = [];
  let waiting: Launch[] = [];
  const end = () => {
    const [first] = waiting;
    if (waiting.length < 2) all.push(...waiting);
    else {
      const pieces = waiting.flatMap(({ joint }) => joint!.pieces);
      withRecorder({ launches: all }, () => (first!.joint!.kind as Kind<Piece>).launch(pieces, targetOf(first!)!));
    }
    waiting = [];
  };
  for (const l of launches) {
    const [first] = waiting;
    const target = l.joint ? targetOf(l) : null;
    const other = target && first && (first.joint!.kind !== l.joint!.kind || targetOf(first) !== target || !fit([...waiting, l]));
    if (other || waiting.some((w) => meet(w, l))) end();
    if (!target) {
      all.push(l);
      continue;
    }
    waiting.push(l);
  }
  end();
  return all;
}

const fit = (launches: readonly Launch[]): boolean =>
  (launches[0]!.joint!.kind as Kind<Piece>).fit(launches.flatMap(({ joint }) => joint!.pieces));

/** The existing memory that all results of a launch are placed in; `null` where that is not one buffer. */
function targetOf({ bindings }: Launch): Storage | null {
  const [target, ...others] = new Set(
    bindings.flatMap(({ storage, access }) => (access === "read" ? [] : (storage.placed?.storage ?? null))),
  );
  return others.length === 0 ? (target ?? null) : null;
}

/** Whether one of the launches writes memory that the other reads or writes. */
const meet = (a: Launch, b: Launch): boolean =>
  a.bindings.some((x) => b.bindings.some((y) => (x.access !== "read" || y.access !== "read") && overlap(x, y)));
