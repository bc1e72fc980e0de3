/** Fine-tunes a model on an app's own classes. */
import { replaceHead } from "../models/checkpoints/weights.ts";
import { createModel } from "../models/model.ts";
import type { Example, FineTuneOptions, TuneEpoch } from "./api.ts";
import { reasonOf, StoreError } from "./errors.ts";
import { openExamples } from "./examples.ts";
import type { Parts, Task } from "./parts.ts";
import { tuneHead } from "./tune-head.ts";
import { tuneWeights } from "./tune-weights.ts";

/** Resumes an unfinished run from the store. Throws ExamplesError, StoreError. */
export async function fineTune(
  base: Parts,
  examples: Iterable<Example> | AsyncIterable<Example>,
  o: FineTuneOptions,
): Promise<{ readonly parts: Parts; readonly finished: boolean; readonly epochs: readonly TuneEpoch[] }> {
  const { seed = 0, train = "head", checkpoint } = o;
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32)
    throw new Error(`fineTune: expected seed to be an integer from 0 to 4294967295, got ${seed}`);
  const split = await openExamples(examples, base.steps.size, seed, o);
  const task: Task = {
    parts: withHead(base, split.labels, seed),
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
  return { parts: { ...task.parts, state }, finished, epochs };
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
