/** `tessera train`: every item of the recipe is an option, or a key of `--config`. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Option, type Command } from "commander";
import * as z from "zod/mini";
import { thinned, type ReportData } from "../../jobs/report-data.ts";
import { makeRecipe, recipeSchema } from "../../train/recipe.ts";
import { refusing, UsageError } from "../../jobs/errors.ts";
import type { EstimateSummary } from "../../jobs/estimate.ts";
import type { TrainArgs, TrainSummary } from "../../jobs/train.ts";
import { DATA_HELP, dataFiles } from "../node/data/files.ts";
import { stoppedExitCode } from "../node/host.ts";
import { withRunFolder } from "../node/run-folder.ts";
import { parseModel, readJson } from "../model-options.ts";
import { shipped } from "../place.ts";
import { bytes, integer, number } from "../options.ts";
import { note, print } from "../output.ts";
import { commit, writeReport } from "../report-file.ts";
import { runJob, type CommonOptions } from "../run-job.ts";

interface Options extends CommonOptions {
  readonly model: string;
  readonly data: string;
  readonly out: string;
  readonly teacher?: string;
  readonly teacherModel?: string;
  readonly teacherLogits?: string;
  readonly teacherOnnx?: string;
  readonly weights?: string;
  readonly resume?: boolean;
  readonly allowChanged?: boolean;
  readonly overwrite?: boolean;
  readonly replaceHead?: boolean;
  readonly resizePosEmbed?: boolean;
  readonly workers?: number;
  readonly maxCorrupt?: number;
  readonly augment?: "gpu" | "cpu";
  readonly saveMinutes?: number;
  readonly preset?: string;
  readonly debugNan?: boolean;
  readonly stats?: number;
  readonly memoryLimit?: number;
  readonly dryRun?: boolean;
  readonly maxSteps?: number;
  readonly saveEvery?: number;
  readonly evalEvery?: number;
  readonly config?: string;
  readonly [recipeItem: string]: unknown;
}

const PRESETS = readdirSync(shipped("train/presets"))
  .map((file) => file.replace(/\.json$/, ""))
  .sort();
/** A recipe item's option: `labelSmoothing` is `--label-smoothing`. */
const kebab = (name: string): string => name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
const defaults = recipeSchema.parse({}) as Record<string, unknown>;

export default function (program: Command): void {
  const command = program
    .command("train")
    .description("train a model, or distil it from a teacher; options marked `recipe` default to the paper's values")
    .addHelpText("after", EXIT_CODES)
    .action(runTraining);
  addRunOptions(command);
  for (const [name, type] of Object.entries(recipeSchema.shape))
    command.addOption(new Option(`--${kebab(name)} <value>`, helpOf(name, type)));
}

function addRunOptions(command: Command): void {
  command
    .requiredOption("--model <name|json>", "model to train: timm name, JSON file, or JSON")
    .option("--data <name>", DATA_HELP, "cifar10-subset")
    .option("--out <folder>", "folder for checkpoint, weights, metrics and report; one process at a time writes to it", "runs/train")
    .option("--teacher <file>", "weights of the teacher to distil from; needs --distillation")
    .option("--teacher-model <name|json>", "the teacher's model, if its file does not name it")
    .option(
      "--teacher-logits <file>",
      "in place of a teacher: safetensors with logits [count,K], a row for each training image; needs --cache-teacher true",
    )
    .option(
      "--teacher-onnx <file>",
      "in place of a teacher: an ONNX model, run once over the training images by onnxruntime-node; needs --cache-teacher true",
    )
    .option("--weights <file>", "initial weights (default: random ones by --seed)")
    .option("--replace-head", "with --weights: re-initialise every classifier head, even one whose shape fits")
    .option("--resize-pos-embed", "with --weights: interpolate the position embedding to the model's resolution")
    .option("--workers <n>", "threads that read and augment images, 0 or more; 0: the main thread does (default: 0)", integer(0))
    .addOption(
      new Option("--augment <place>", "where images are augmented; a resumed run must keep its place (default: gpu)").choices([
        "gpu",
        "cpu",
      ]),
    )
    .option(
      "--max-corrupt <share>",
      "largest share of unreadable training images, in [0, 1]; above it the run fails (default: 0.01)",
      number(0, 1),
    )
    .option("--resume", "continue from the checkpoint in --out, with the same bits as an unbroken run")
    .option("--allow-changed", "with --resume: continue although data, teacher, normalization or --augment differ from the run's")
    .option("--overwrite", "start a new run although --out holds one")
    .option("--debug-nan", "end at the first update that is not finite, and name operation, tensor and element of its first NaN; slower")
    .option(
      "--stats <n>",
      "number of updates between tables of the ranges of activations and gradients by layer, 1 or more; slower",
      integer(1),
    )
    .option(
      "--memory-limit <bytes>",
      "GPU memory that the run may take, e.g. 800MB or 6GiB; a larger run is refused before it takes any",
      bytes,
    )
    .option("--dry-run", "check all arguments, print the GPU memory that the run would take, and end")
    .option(
      "--max-steps <n>",
      "number of updates after which the run ends, counted from its beginning, 1 or more (default: all epochs)",
      integer(1),
    )
    .option(
      "--save-every <n>",
      "number of updates between checkpoints, 1 or more; every epoch also ends with one (default: by --save-minutes alone)",
      integer(1),
    )
    .option("--eval-every <n>", "epochs between evaluations, 1 or more; the last epoch is always evaluated (default: 1)", integer(1))
    .option(
      "--save-minutes <n>",
      "minutes since the last checkpoint after which the next update is followed by one, above 0 (default: 5)",
      number(0, Infinity, { open: true }),
    )
    .option("--preset <name>", `shipped recipe to start from: ${PRESETS.join(", ")}`)
    .option("--config <file>", "recipe as a JSON file; overrides the preset; options override it");
}

async function runTraining(options: Options): Promise<void> {
  const recipe = makeSettings(options);
  note(`recipe: ${JSON.stringify(refusing(() => makeRecipe(recipe)))}`);
  const args = argsOf(options, recipe);
  if (options.dryRun) return print(describeMemory(await runJob<EstimateSummary>("estimate", args, options)));
  const { result, report } = await withRunFolder(options.out, async () => {
    const result = await runJob<TrainSummary>("train", args, options);
    return { result, report: await writeReport(join(options.out, "report.html"), reportOf(result, options, args)) };
  });
  const { finished, step, imagesPerSecond, weights } = result;
  if (!finished) process.exitCode = stoppedExitCode();
  print(
    `${finished ? "done" : "stopped"} after ${step} steps, ${imagesPerSecond.toFixed(1)} images/s; weights: ${weights}\nreport: ${report}\n`,
  );
}

/** The recipe's settings that were given: by preset, by file over it, by options over both. */
function makeSettings(options: Options): Record<string, unknown> {
  const settings = { ...preset(options.preset), ...(options.config ? readJson(options.config) : {}) };
  for (const name of Object.keys(recipeSchema.shape)) if (options[name] !== undefined) settings[name] = parseValue(String(options[name]));
  return settings;
}

const argsOf = (options: Options, recipe: Record<string, unknown>): TrainArgs => ({
  model: parseModel(options.model),
  recipe,
  seed: options.seed ?? 0,
  ...dataFiles(options.data),
  out: options.out,
  teacher:
    options.teacher === undefined
      ? undefined
      : { weights: options.teacher, model: options.teacherModel === undefined ? undefined : parseModel(options.teacherModel) },
  teacherLogits: options.teacherLogits,
  teacherOnnx: options.teacherOnnx,
  initial: options.weights,
  resume: options.resume,
  allowChanged: options.allowChanged,
  overwrite: options.overwrite,
  replaceHead: options.replaceHead,
  resizePosEmbed: options.resizePosEmbed,
  workers: options.workers,
  augment: options.augment,
  saveSeconds: options.saveMinutes === undefined ? undefined : 60 * options.saveMinutes,
  maxCorrupt: options.maxCorrupt,
  debugNan: options.debugNan,
  stats: options.stats,
  memoryLimit: options.memoryLimit,
  maxSteps: options.maxSteps,
  saveEvery: options.saveEvery,
  evalEvery: options.evalEvery,
});

/** A line for each part of the memory. */
function describeMemory({ model, params, batch, memory }: EstimateSummary): string {
  const lines = Object.entries(memory).map(([part, size]) => `${part.padEnd(12)}${String(size).padStart(14)} bytes  ${mebibytes(size)}`);
  return `${model}: ${params} parameters, ${batch} images at once; GPU memory:\n${lines.join("\n")}\n`;
}

const mebibytes = (size: number): string => `${(size / 2 ** 20).toFixed(1).padStart(10)} MiB`;

const EXIT_CODES = `
Ctrl-C, SIGTERM and SIGHUP save a checkpoint after the current update and stop; a second one ends at once. Exit codes:
  0 done    1 failed    2 bad usage or input
  129, 130, 143  stopped by SIGHUP, Ctrl-C, SIGTERM and saved; --resume goes on`;

const helpOf = (name: string, type: (typeof recipeSchema.shape)[keyof typeof recipeSchema.shape]): string => {
  const values = typeof defaults[name] === "boolean" ? "true or false: " : "";
  return `recipe: ${values}${z.globalRegistry.get(type)?.description} (default: ${JSON.stringify(defaults[name])})`;
};

/** Data of the report page: curves and figures of the run. */
function reportOf(result: TrainSummary, options: Options, { seed }: TrainArgs): ReportData {
  const { model, teacher, recipe } = result;
  return {
    title: `${model.name} trained on ${options.data}`,
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    command: ["npm run -s tessera --", ...process.argv.slice(2).map((part) => (/^[\w./:,=@+-]+$/.test(part) ? part : `'${part}'`))].join(
      " ",
    ),
    adapter: { ...result.adapter, where: options.where === "chromium" ? "Chromium" : "Node" },
    data: { name: options.data, train: result.data.train, test: result.data.test, classes: result.data.classes, side: model.side },
    student: model,
    teacher: teacher ? { ...teacher, top1: null, trainedOn: options.teacher ?? "" } : null,
    patches: 0,
    samples: [],
    seconds: result.seconds,
    runs: [
      {
        title: recipe.distillation === "none" ? `seed ${seed}` : `distilled, seed ${seed}`,
        recipe,
        steps: thinned(result.steps),
        epochs: result.epochs,
        imagesPerSecond: result.imagesPerSecond,
        seconds: result.seconds,
        launchesPerStep: result.launchesPerStep,
        gpuBytes: result.gpuBytesPeak,
      },
    ],
  };
}

function preset(name: string | undefined): Record<string, unknown> {
  if (name === undefined) return {};
  if (!PRESETS.includes(name)) throw new UsageError(`expected a preset of ${PRESETS.join(", ")}, got "${name}"`);
  return readJson(shipped(`train/presets/${name}.json`))["recipe"] as Record<string, unknown>;
}

/** Parses numbers, booleans, lists of numbers and null; anything else stays text for the recipe to check. */
function parseValue(text: string): unknown {
  if (text === "true" || text === "false") return text === "true";
  if (text === "null") return null;
  if (/^\[.*\]$/.test(text)) return text.slice(1, -1).split(",").map(Number);
  return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}
