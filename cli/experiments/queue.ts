/** Does all runs that are not done yet, several at a time, and says what is left. A stop leaves every run resumable. */
import { StoppedError } from "../../jobs/stop.ts";
import { imagesOf, type Run } from "../../train/experiments/experiment.ts";
import type { Commands } from "./command.ts";
import { putAside, type Outcome } from "./outcome.ts";
import type { Place } from "./place.ts";
import { note } from "../output.ts";

export interface Task {
  readonly run: Run;
  readonly seed: number;
}

/** The seeds of a run among those that are asked for; one that has a single seed has the first. */
export const seedsOf = ({ seeds }: Run, asked: readonly number[]): readonly number[] =>
  seeds === 1 ? [0] : asked.filter((seed) => seeds === undefined || seed < seeds);

/** Seed by seed, so that a stop leaves complete tables of fewer seeds; of a seed the short runs first. */
export const tasksOf = (runs: readonly Run[], seeds: readonly number[]): Task[] => {
  const short = [...runs].sort((a, b) => imagesOf(a) - imagesOf(b));
  return [...new Set([0, ...seeds])].flatMap((seed) =>
    short.filter((run) => seedsOf(run, seeds).includes(seed)).map((run) => ({ run, seed })),
  );
};

export interface QueueOptions {
  readonly place: Place;
  readonly jobs: number;
  readonly commands: Commands;
  /** Does a task whose weights and data are there. */
  readonly work: (task: Task) => Promise<Outcome>;
}

/** Failed runs after which no other is begun: something is wrong with the machine. */
const MOST_FAILURES = 3;

/** Resolves to the tasks that a stop left. A failed run is named and the others go on; in the end it rejects with what failed. */
export async function runAll(tasks: readonly Task[], { place, jobs, commands, work }: QueueOptions): Promise<readonly Task[]> {
  const done: Outcome[] = [];
  const open: Task[] = [];
  for (const task of tasks) {
    const kept = place.outcome(task.run, task.seed);
    if (kept) done.push(kept);
    else open.push(task);
  }
  note(`experiments: ${left(open, done, jobs, place)}`);
  const running = new Set<Task>();
  const stopped: Task[] = [];
  const failures: Error[] = [];
  await new Promise<void>((resolve) => {
    const next = (): void => {
      while (failures.length < MOST_FAILURES && !commands.stopping && running.size < jobs) {
        const at = open.findIndex(({ run, seed }) => place.identity(run, seed) !== null);
        if (at === -1) break;
        const [task] = open.splice(at, 1) as [Task];
        running.add(task);
        begin(task)
          .catch((error: Error) => {
            if (error instanceof StoppedError) return stopped.push(task);
            note(`experiments: ${task.run.id}, seed ${task.seed} failed: ${error.message}`);
            return failures.push(error);
          })
          .finally(() => {
            running.delete(task);
            next();
          });
      }
      if (running.size === 0) resolve();
    };
    const begin = async (task: Task): Promise<void> => {
      const { run, seed } = task;
      const identity = place.identity(run, seed)!;
      // What depends on teachers that were chosen meanwhile may be done already.
      const kept = place.outcome(run, seed);
      const aside = kept ? null : putAside(place.out, run, seed, identity);
      if (aside) note(`experiments: ${run.id}, seed ${seed}: its settings, data or weights have changed; the former run is in ${aside}`);
      const outcome = kept ?? (await work(task));
      done.push(outcome);
      const still = [...open, ...[...running].filter((other) => other !== task)];
      note(
        `experiments: ${run.id}, seed ${seed}: top-1 ${(100 * outcome.top1.model).toFixed(1)} %, ${outcome.seconds.toFixed(0)} s; ${left(still, done, jobs, place)}`,
      );
    };
    next();
  });
  if (failures.length > 0) throw new Error(`${failures.length} ${failures.length === 1 ? "run" : "runs"} failed: ${failures[0]!.message}`);
  if (open.length > 0 && !commands.stopping)
    throw new Error(
      `experiments: expected every run to become possible, got ${open.length} that wait for their teachers: ${open.map((t) => t.run.id).join(", ")}`,
    );
  return [...stopped, ...open];
}

/** What is done and what is left, in words. */
export function left(open: readonly Task[], done: readonly Outcome[], jobs: number, place: Place): string {
  if (open.length === 0) return `all ${done.length} runs are done`;
  return `${done.length} runs done, ${open.length} left, some ${time(secondsLeft(open, done, jobs, place))}`;
}

const time = (seconds: number): string => (seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} hours`);

/** Judging, and starting the processes. */
const OVERHEAD_SECONDS = 15;

/** By runs of other seeds where there are any, else by the speed of runs of the same kind, else by the scale's. */
export function secondsLeft(open: readonly Task[], done: readonly Outcome[], jobs: number, { scale }: Pick<Place, "scale">): number {
  const kindOf = (id: string) =>
    id
      .split("/")
      .slice(0, id.startsWith("student/") ? 2 : 1)
      .join("/");
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const seconds = open.map(({ run }) => {
    const same = done.filter(({ id }) => id === run.id).map((o) => o.seconds);
    if (same.length > 0) return mean(same);
    const like = done
      .filter(({ id, imagesPerSecond }) => kindOf(id) === kindOf(run.id) && imagesPerSecond > 0)
      .map((o) => o.imagesPerSecond);
    return OVERHEAD_SECONDS + imagesOf(run) / (like.length > 0 ? mean(like) : scale.imagesPerSecond / jobs);
  });
  return seconds.reduce((a, b) => a + b, 0) / jobs;
}
