/** One run from its command to its result: trained, or resumed, then judged. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { imagesOf, perClass, type Run } from "../../train/experiments/experiment.ts";
import { writeAtomic } from "../node/files.ts";
import { shipped } from "../place.ts";
import { commit } from "../report-file.ts";
import type { Commands } from "./command.ts";
import type { Identity } from "./identity.ts";
import { identityFile, resultFile, runFolder, type Outcome } from "./outcome.ts";
import type { Place } from "./place.ts";

export interface Machine {
  readonly adapter?: string | undefined;
  readonly where?: string | undefined;
}

/** A run's folder after it: what it was made of, its weights, `answers.safetensors` where it was judged, and the result. */
export async function runOne(
  run: Run,
  seed: number,
  identity: Identity,
  place: Place,
  machine: Machine,
  commands: Commands,
): Promise<Outcome> {
  const started = Date.now();
  const folder = runFolder(place.out, run.id, seed);
  mkdirSync(folder, { recursive: true });
  await writeJson(identityFile(folder), identity);
  const measured =
    run.kind === "train"
      ? await trained(run, seed, folder, place, machine, commands)
      : await neighbours(run, folder, place, machine, commands);
  const outcome: Outcome = {
    id: run.id,
    seed,
    of: identity,
    ...measured,
    // Of a resumed training this process has seen a part only.
    seconds: Math.max((Date.now() - started) / 1000, imagesOf(run) / (measured.imagesPerSecond || Infinity)),
    commit: commit(),
    date: new Date().toISOString().slice(0, 10),
  };
  await writeJson(resultFile(folder), outcome);
  return outcome;
}

type Measured = Omit<Outcome, "id" | "seed" | "of" | "seconds" | "commit" | "date">;

/** The command of a training, as typed in a shell. */
export function trainCommand(run: Run, seed: number, place: Place, { adapter, where }: Machine): string[] {
  const { recipe, points, teacher, from } = run;
  const model = place.identity(run, seed)!.model;
  return [
    ...["train", "--model", JSON.stringify(model), "--data", place.folder(run.data)],
    ...["--out", runFolder(place.out, run.id, seed), "--seed", String(seed)],
    ...(teacher ? ["--teacher", place.weights(teacher)!] : []),
    ...(from ? ["--weights", place.weights(from)!, "--replace-head"] : []),
    ...Object.entries(recipe).flatMap(([name, value]) => [
      `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`,
      Array.isArray(value) ? JSON.stringify(value) : String(value),
    ]),
    ...["--eval-every", String(Math.max(1, Math.round(Number(recipe["epochs"]) / points)))],
    ...machineOptions({ adapter, where }),
  ];
}

export const machineOptions = ({ adapter, where }: Machine): string[] => [
  ...(adapter ? ["--adapter", adapter] : []),
  ...(where ? ["--where", where] : []),
];

async function trained(run: Run, seed: number, folder: string, place: Place, machine: Machine, commands: Commands): Promise<Measured> {
  const command = trainCommand(run, seed, place, machine);
  const json = join(folder, "train.json");
  if (!existsSync(json) || !readJson<Trained>(json).finished) {
    const again = ["checkpoint.safetensors", "model.safetensors"].some((file) => existsSync(join(folder, file)));
    const how = existsSync(join(folder, "checkpoint.safetensors")) ? ["--resume"] : again ? ["--overwrite"] : [];
    await commands.run([...command, ...how, "--json", json], run.id);
  }
  const result = readJson<Trained>(json);
  const judge = async (name: string, weights: string, set: string, more: readonly string[]): Promise<Judged> => {
    const to = join(folder, `${name}.json`);
    if (!existsSync(to))
      await commands.run(
        ["eval", "--weights", join(folder, weights), "--data", set, ...more, "--json", to, ...machineOptions(machine)],
        run.id,
      );
    return readJson<Judged>(to);
  };
  const last = result.epochs.at(-1)!;
  const answers = join(folder, "answers.safetensors");
  const test = run.judged ? await judge("judged", "model.safetensors", place.folder(run.judged), ["--logits", answers]) : last.test;
  // Where pictures are few, whether they were learnt by heart is asked without augmentation.
  const clean =
    run.judged && perClass(run.data) <= 1000
      ? await judge("clean", "model.safetensors", place.folder(run.data), ["--split", "train"])
      : null;
  const ema = run.averaged ? await judge("ema", "model_ema.safetensors", place.folder(run.judged ?? run.data), []) : null;
  return {
    command: ["npm run -s tessera --", ...command.map((part) => quoted(relative(part, place)))].join(" "),
    top1: {
      model: test.model.top1,
      ...(test.cls && test.dist ? { cls: test.cls.top1, dist: test.dist.top1 } : {}),
      ...(ema ? { ema: ema.model.top1 } : {}),
    },
    trainTop1: clean?.model.top1 ?? null,
    curve: result.epochs.map(({ epoch, trainTop1, test }) => ({ epoch: epoch + 1, test: test.model.top1, train: trainTop1 })),
    steps: result.step,
    imagesPerSecond: result.imagesPerSecond,
    testImages: test.count,
    adapter: result.adapter,
    where: result.where,
  };
}

/** Nearest neighbours of the test pictures among the training pictures, by features of the weights that a training would begin with. */
async function neighbours(run: Run, folder: string, place: Place, machine: Machine, commands: Commands): Promise<Measured> {
  const file = (name: string) => join(folder, name);
  const options = machineOptions(machine);
  const said: string[][] = [];
  const step = async (args: string[]): Promise<void> => {
    said.push(args);
    await commands.run([...args, ...options], run.id);
  };
  for (const split of ["train", "test"])
    await step([
      "features",
      ...["--weights", place.weights(run.from!)!],
      ...["--data", place.folder(run.data)],
      ...["--split", split],
      ...["--batch-size", "100"],
      ...["--out", file(`${split}.safetensors`)],
    ]);
  await step([
    "knn",
    "--train",
    file("train.safetensors"),
    "--test",
    file("test.safetensors"),
    "--k",
    String(Math.min(20, perClass(run.data))),
    "--json",
    file("knn.json"),
  ]);
  const { count, top1, where, adapter } = readJson<{ count: number; top1: number } & Pick<Outcome, "where" | "adapter">>(file("knn.json"));
  return {
    command: said.map((args) => ["npm run -s tessera --", ...args.map((part) => quoted(relative(part, place)))].join(" ")).join(" && "),
    top1: { model: top1 },
    trainTop1: null,
    curve: [],
    steps: 0,
    imagesPerSecond: 0,
    testImages: count,
    adapter,
    where,
  };
}

interface Judged {
  readonly count: number;
  readonly model: { readonly top1: number };
  readonly cls?: { readonly top1: number };
  readonly dist?: { readonly top1: number };
}

interface Trained {
  readonly where: string;
  readonly adapter: Outcome["adapter"];
  readonly finished: boolean;
  readonly step: number;
  readonly imagesPerSecond: number;
  readonly epochs: readonly { readonly epoch: number; readonly trainTop1: number; readonly test: Judged }[];
}

const readJson = <T>(path: string): T => JSON.parse(readFileSync(path, "utf8")) as T;

const writeJson = (path: string, value: unknown): Promise<void> =>
  writeAtomic(path, new TextEncoder().encode(`${JSON.stringify(value, null, 1)}\n`));

/** Paths as they are from the folder that the command is run in. */
const relative = (part: string, { out }: Place): string => part.replace(dirname(out), "runs/experiments").replace(shipped(""), "");

const quoted = (part: string): string => (/^[\w./:,=@+-]+$/.test(part) ? part : `'${part}'`);
