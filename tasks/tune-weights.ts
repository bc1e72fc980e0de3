/** Fine-tuning of a model's weights on batches of augmented pictures, through stops and lost devices. */
import { DeviceLostError } from "../engine/errors.ts";
import { readAnyWeights } from "../models/checkpoints/formats.ts";
import type { State } from "../models/params.ts";
import { ResumeError } from "../train/identity.ts";
import { memoryOnly } from "../train/input/memory.ts";
import type { EpochMetrics, StepMetrics } from "../train/metrics.ts";
import { makeRecipe, type Recipe } from "../train/recipe.ts";
import { train } from "../train/train.ts";
import type { FineTuneOptions, TuneEpoch } from "./api.ts";
import { reopenDevice } from "./device.ts";
import { reasonOf, StoreError } from "./errors.ts";
import { asOpened, asSeen } from "./examples.ts";
import { makeLora, mergedLora, type LoraOptions } from "../models/lora.ts";
import type { Outcome, Task } from "./parts.ts";

/** Seconds between snapshots: the most training that a closed tab or a lost device costs. */
const SNAPSHOT_SECONDS = 30;

/** The run ends after this number of lost devices in a row without a step between them. */
const LOSSES = 5;

export async function tuneWeights(task: Task, which: "lora" | "attention" | "all", o: FineTuneOptions): Promise<Outcome> {
  const { parts, split, seed } = task;
  const { labels } = split;
  const { model, steps } = parts;
  const lora = which === "lora" ? makeLora(model, o.lora) : null;
  const recipe = tuningRecipe(task, which, o);
  const images = { augmented: o.augment !== "none", size: steps.size };
  const source = images.augmented ? asOpened(split.train, labels) : asSeen(split.train, labels, steps);
  // If nothing is held back, one picture is evaluated, and the result not reported.
  const held = asSeen(split.held.length > 0 ? split.held : split.train.slice(0, 1), labels, steps, o.signal);
  const reported = { step: 0, losses: 0 };
  const epochs: TuneEpoch[] = [];
  const tell = (metrics: StepMetrics | EpochMetrics): void => {
    if (metrics.kind === "step") {
      if (metrics.step <= reported.step) return; // done again after a lost device
      Object.assign(reported, { step: metrics.step, losses: 0 });
      o.onStep?.(metrics);
      o.onProgress?.({ phase: "train", done: metrics.step, total: metrics.totalSteps });
    } else if (!epochs.some((e) => e.epoch === metrics.epoch)) {
      const told = { ...metrics, test: split.held.length > 0 ? metrics.test : null };
      epochs.push(told);
      o.onEpoch?.(told);
      o.onProgress?.({ phase: "evaluate", done: metrics.epoch + 1, total: recipe.epochs });
    }
  };
  const whole = (learned: State) => (lora ? mergedLora(lora, parts.state, learned) : learned);
  let snapshot = task.kept;
  for (;;) {
    await reopenDevice();
    try {
      const { state, finished } = await train({
        model,
        recipe,
        seed,
        train: source,
        test: held,
        platform: memoryOnly,
        normalization: steps,
        initial: parts.state,
        resume: snapshot ?? undefined,
        evalBatchSize: Math.min(held.count, 16),
        evalEvery: split.held.length > 0 ? 1 : recipe.epochs,
        saveEpochs: false, // a large model's checkpoint is large, and an epoch may take only a second
        saveEvery: o.checkpointEvery?.steps,
        saveSeconds: o.checkpointEvery?.seconds ?? SNAPSHOT_SECONDS,
        shouldStop: () => o.signal?.aborted ?? false,
        onCompile: (done, total) => o.onProgress?.({ phase: "compile", done, total }),
        onMetrics: tell,
        onCheckpoint: async (bytes) => {
          snapshot = bytes;
          await task.keep(bytes);
        },
      });
      return { state, finished, epochs };
    } catch (error) {
      if (error instanceof DeviceLostError && ++reported.losses < LOSSES) continue;
      // The signal interrupts an evaluation; the snapshot holds the training until then.
      if (o.signal?.aborted && snapshot) return { state: whole(readAnyWeights(snapshot).state), finished: false, epochs };
      const unreadable = error instanceof ResumeError || reasonOf(error).startsWith("safetensors: ");
      if (unreadable && task.kept === snapshot)
        throw new StoreError(
          `fineTune: expected the store to hold this run or none, got another one's (${reasonOf(error)}): delete() it, or use another store`,
        );
      throw error;
    }
  }
}

/** Peak learning rates, and the least epochs and updates, from the experiments in test/slow/RESULTS.md: fewer updates hardly teach what the base has not seen. */
const RATES = { all: 4e-4, attention: 5e-4, lora: 2e-3 } as const;
const EPOCHS = 20;
const UPDATES = 300;

/** Settings for a few pictures per class. */
function tuningRecipe({ parts, split }: Task, which: "lora" | "attention" | "all", o: FineTuneOptions): Recipe {
  const { augment = "light", learningRate = RATES[which] } = o;
  const batchSize = balanced(split.train.length, o.batchSize ?? 16, augment === "deit");
  const epochs = o.epochs ?? Math.max(EPOCHS, Math.ceil(UPDATES / Math.floor(split.train.length / batchSize)));
  const { size } = parts.steps;
  const transformer = parts.model.config.arch === "deit";
  if (!transformer && which !== "all") throw new Error(`fineTune: expected a transformer for train "${which}", got ${parts.model.name}`);
  const uniform = split.train.every(({ image }) => image.width === size && image.height === size);
  const placing = { crop: uniform && size <= 32 ? "padded" : "resized", cropScale: [0.5, 1] };
  const mild = { autoAugment: null, colorJitter: 0, erasing: 0, mixup: 0, cutmix: 0 };
  const augmentation = { none: { ...mild, crop: "none", hflip: 0 }, light: { ...mild, ...placing }, deit: { crop: "auto" } }[augment];
  return makeRecipe({
    epochs,
    batchSize,
    lr: learningRate,
    scaleLr: false,
    schedule: "step",
    warmupEpochs: Math.min(1, epochs / 10),
    warmupLr: learningRate / 100,
    minLr: learningRate / 100,
    dropPath: 0,
    emaDecay: null,
    repeats: 1,
    // Batches are too small for statistics of their own: batch norms keep what they learned.
    trainMode: transformer,
    trainOnly: which,
    ...(which === "lora" ? loraSettings(o.lora) : {}),
    ...augmentation,
    ...o.recipe,
  });
}

const loraSettings = ({ rank = 8, alpha, targets = ["qkv", "proj"] }: LoraOptions = {}) => ({
  loraRank: rank,
  loraAlpha: alpha ?? null,
  loraTargets: targets.join(","),
});

/** A batch size of at most `most` for which the dropped last batch of an epoch is small; an even number if pictures are mixed. */
function balanced(count: number, most: number, even: boolean): number {
  const size = Math.floor(count / Math.ceil(count / most));
  return even && size > 1 ? size - (size % 2) : size;
}
