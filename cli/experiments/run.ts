/** Runs experiments as `train` commands in separate processes, several at a time; finished runs are kept and unfinished ones resumed. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Experiment, Scale } from "../../train/experiments/suite.ts";
import { writeAtomic } from "../node/files.ts";
import { SHIPPED_TEACHER } from "../model-options.ts";
import { shipped } from "../place.ts";
import { tessera } from "./command.ts";
import type { Outcome } from "./tables.ts";
import { note } from "../output.ts";

export interface RunOptions {
  readonly seeds: readonly number[];
  readonly jobs: number;
  readonly out: string;
  readonly scale: Scale;
  /** Folder of the set that models are transferred to. */
  readonly target: string;
  readonly adapter?: string | undefined;
  readonly where?: string | undefined;
}

interface Task {
  readonly experiment: Experiment;
  readonly seed: number;
  readonly folder: string;
}

export const runFolder = (out: string, id: string, seed: number): string => join(out, id, `seed-${seed}`);

/** Rejects with the first failure, after the trainings that run beside it have ended. */
export async function runAll(all: readonly Experiment[], options: RunOptions): Promise<void> {
  const { seeds, out } = options;
  // Seed by seed, so that a stop leaves complete tables of fewer seeds.
  const tasks = seeds.flatMap((seed, i) =>
    all
      .filter((e) => !e.once || i === 0)
      .map((experiment): Task => {
        const of = experiment.once ? 0 : seed;
        return { experiment, seed: of, folder: runFolder(out, experiment.id, of) };
      }),
  );
  const open = tasks.filter(({ folder }) => !existsSync(join(folder, "result.json")));
  note(`experiments: ${tasks.length} trainings, ${tasks.length - open.length} of them done, ${options.jobs} at a time`);
  const running = new Set<Task>();
  let failure: Error | null = null;
  await new Promise<void>((done) => {
    const next = () => {
      while (!failure && running.size < options.jobs) {
        const at = open.findIndex(({ experiment }) => ready(experiment, out));
        if (at === -1) break;
        const [task] = open.splice(at, 1) as [Task];
        running.add(task);
        runOne(task, options)
          .catch((error: Error) => (failure ??= error))
          .finally(() => {
            running.delete(task);
            next();
          });
      }
      if (running.size === 0) done();
    };
    next();
  });
  if (failure) throw failure as Error;
  if (open.length > 0)
    throw new Error(
      `experiments: expected every run to become possible, got ${open.length} that wait: ${open.map((t) => t.experiment.id).join(", ")}`,
    );
}

/** Whether the weights and teacher that a run needs exist. */
const ready = ({ teacher, from }: Experiment, out: string): boolean =>
  (teacher !== "deit" && from === undefined) || existsSync(join(runFolder(out, "teacher/deit", 0), "result.json"));

/** The command of one training, as typed in a shell. */
export function commandOf(
  { experiment: e, seed, folder }: Task,
  o: Pick<RunOptions, "scale" | "out" | "target" | "adapter" | "where">,
): string[] {
  const weightsOf = (id: string) => join(runFolder(o.out, id, 0), "model.safetensors");
  return [
    "train",
    "--model",
    JSON.stringify(e.model),
    "--data",
    e.data === "target" ? o.target : o.scale.data[e.data],
    "--out",
    folder,
    "--seed",
    String(seed),
    ...(e.teacher ? ["--teacher", e.teacher === "cnn" ? SHIPPED_TEACHER : weightsOf("teacher/deit")] : []),
    ...(e.from ? ["--weights", weightsOf(e.from), "--replace-head"] : []),
    ...Object.entries(e.recipe).flatMap(([name, value]) => [
      `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`,
      Array.isArray(value) ? JSON.stringify(value) : String(value),
    ]),
    "--eval-every",
    "1000000",
    ...(o.adapter ? ["--adapter", o.adapter] : []),
    ...(o.where ? ["--where", o.where] : []),
  ];
}

async function runOne(task: Task, o: RunOptions): Promise<void> {
  const { experiment, seed, folder } = task;
  const started = Date.now();
  const command = commandOf(task, o);
  const json = join(folder, "train.json");
  const resume = existsSync(join(folder, "checkpoint.safetensors")) ? ["--resume"] : [];
  note(`experiments: ${experiment.id}, seed ${seed} begins${resume.length ? " again" : ""}`);
  await tessera([...command, ...resume, "--json", json], o.jobs, experiment.id);
  const trained = JSON.parse(readFileSync(json, "utf8")) as Trained;
  const last = trained.epochs.at(-1)!;
  let { test } = last;
  if (experiment.ema) {
    const judged = join(folder, "ema.json");
    await tessera(
      ["eval", "--weights", join(folder, "model_ema.safetensors"), "--data", o.scale.data.source, "--json", judged],
      o.jobs,
      experiment.id,
    );
    test = JSON.parse(readFileSync(judged, "utf8")) as Trained["epochs"][number]["test"];
  }
  const outcome: Outcome = {
    id: experiment.id,
    seed,
    command: ["npm run -s tessera --", ...command.map((part) => quoted(relative(part, o)))].join(" "),
    top1: { model: test.model.top1, ...(test.cls && test.dist ? { cls: test.cls.top1, dist: test.dist.top1 } : {}) },
    trainTop1: last.trainTop1,
    trainLoss: last.trainLoss,
    steps: trained.step,
    seconds: (Date.now() - started) / 1000,
    imagesPerSecond: trained.imagesPerSecond,
    testImages: test.count,
    adapter: trained.adapter,
    where: trained.where,
    commit: commit(),
    date: new Date().toISOString().slice(0, 10),
  };
  await writeAtomic(join(folder, "result.json"), new TextEncoder().encode(`${JSON.stringify(outcome, null, 1)}\n`));
  note(`experiments: ${experiment.id}, seed ${seed}: top-1 ${(100 * test.model.top1).toFixed(1)} %, ${outcome.seconds.toFixed(0)} s`);
}

interface Trained {
  readonly where: string;
  readonly adapter: Outcome["adapter"];
  readonly step: number;
  readonly imagesPerSecond: number;
  readonly epochs: readonly {
    readonly trainTop1: number;
    readonly trainLoss: number;
    readonly test: {
      readonly count: number;
      readonly model: { readonly top1: number };
      readonly cls?: { readonly top1: number };
      readonly dist?: { readonly top1: number };
    };
  }[];
}

/** Paths as they are from the folder that the command is run in. */
const relative = (part: string, { out }: Pick<RunOptions, "out">): string =>
  part.replace(out, `runs/experiments/${out.split("/").at(-1)!}`).replace(shipped(""), "");

const quoted = (part: string): string => (/^[\w./:,=@+-]+$/.test(part) ? part : `'${part}'`);

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short=12", "HEAD"], { cwd: shipped("."), stdio: ["ignore", "pipe", "ignore"] })
      .toString()
      .trim();
  } catch {
    return "unknown";
  }
}
