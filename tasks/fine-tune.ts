/** Teaches a model an app's own classes. */
import { replaceHead } from "../models/checkpoints/weights.ts";
import { createModel } from "../models/model.ts";
import type { Example, FineTuned, FineTuneOptions } from "./api.ts";
import { reasonOf, StoreError } from "./errors.ts";
import { openExamples, type Split } from "./examples.ts";
import { tuneHead } from "./tune-head.ts";
import { tuneWeights } from "./tune-weights.ts";
import { Vision, type Parts } from "./vision-model.ts";

/** What both ways of tuning are given. */
export interface Task {
  /** The model to begin with: of the new classes, its head begun anew unless the classes are the old ones. */
  readonly parts: Parts;
  readonly split: Split;
  readonly seed: number;
  /** The state of an unfinished run. */
  readonly kept: Uint8Array | null;
  readonly keep: (bytes: Uint8Array) => Promise<void>;
}

export type Outcome = Pick<FineTuned, "finished" | "epochs"> & Pick<Parts, "state">;

export async function fineTune(base: Vision, examples: Iterable<Example> | AsyncIterable<Example>, o: FineTuneOptions): Promise<FineTuned> {
  const { seed = 0, train = "head", checkpoint } = o;
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32)
    throw new Error(`fineTune: expected seed to be an integer from 0 to 4294967295, got ${seed}`);
  const split = await openExamples(examples, base.parts.steps.size, seed, o);
  const task: Task = {
    parts: withHead(base.parts, split.labels, seed),
    split,
    seed,
    kept: await read(checkpoint),
    keep: async (bytes) => {
      await checkpoint?.set(bytes).catch((error: unknown) => {
        throw error instanceof StoreError
          ? error
          : new StoreError(`fineTune: expected the store to keep ${bytes.length} bytes, got ${reasonOf(error)}`, bytes);
      });
    },
  };
  const { finished, epochs, state } = train === "head" ? await tuneHead(task, o) : await tuneWeights(task, train, o);
  if (finished) await checkpoint?.delete();
  return { model: new Vision({ ...task.parts, state }), finished, epochs };
}

async function read(store: FineTuneOptions["checkpoint"]): Promise<Uint8Array | null> {
  try {
    return (await store?.get()) ?? null;
  } catch (error) {
    throw error instanceof StoreError ? error : new StoreError(`fineTune: expected the store to be read, got ${reasonOf(error)}`);
  }
}

function withHead(parts: Parts, labels: readonly string[], seed: number): Parts {
  const same = labels.length === parts.labels.length && labels.every((label, i) => label === parts.labels[i]);
  if (same) return { ...parts, dtype: "f32" };
  const model = { ...createModel({ ...parts.model.config, numClasses: labels.length }), name: parts.model.name };
  const { state } = replaceHead(model.params, parts.state, seed);
  return { ...parts, model, state, labels, head: model.distilled ? "mean" : "cls", dtype: "f32" };
}
