/** Refuses a run that the adapter cannot hold, and says which batch it could. */
import { TooLargeError } from "../engine/errors.ts";
import { estimate, type MemoryEstimate } from "./estimate.ts";
import type { TrainOptions } from "./options.ts";
import { mixes, type Recipe } from "./recipe.ts";

type Settings = Pick<
  TrainOptions,
  "model" | "recipe" | "teacher" | "evalBatchSize" | "augment" | "debugNan" | "statsEvery" | "memoryLimit"
> & { readonly train: Pick<TrainOptions["train"], "shape" | "count">; readonly test: Pick<TrainOptions["test"], "count"> };

/**
 * The memory that the run takes. Throws where it is more than `memoryLimit` or where the adapter cannot hold one of its tensors, with the
 * largest batch that fits. Allocates nothing.
 */
export function checkMemory(o: Settings): MemoryEstimate {
  const attempt = attempted(o, o.recipe);
  if (typeof attempt === "object") return attempt;
  const { batchSize, accumulate } = o.recipe;
  throw new Error(`train: ${attempt} for batches of ${batchSize / accumulate} images; ${adviceFor(o)}`);
}

/** The memory, or what it fails of: "expected …, got …". */
function attempted(o: Settings, recipe: Recipe): MemoryEstimate | string {
  const { model, teacher, train, test, evalBatchSize, augment, memoryLimit = Infinity } = o;
  try {
    const copies = o.debugNan === true || o.statsEvery !== undefined;
    const counts = { trainCount: train.count, testCount: test.count, evalBatchSize };
    const memory = estimate(model, recipe, { teacher: teacher?.model, images: train.shape, augment, copies, ...counts });
    const most = memory.peak + memory.replay;
    return most <= memoryLimit ? memory : `expected at most ${memoryLimit} bytes of GPU memory, got ${most}`;
  } catch (error) {
    if (!(error instanceof TooLargeError)) throw error;
    const [what, text] = error.message.split(/: (?=expected )/);
    return `${text} (${what})`;
  }
}

function adviceFor(o: Settings): string {
  const { recipe } = o;
  const { batchSize, accumulate } = recipe;
  const fits = (changed: Partial<Recipe>) => typeof attempted(o, { ...recipe, ...changed }) === "object";
  // Batches come in steps: mixing wants pairs of images, repeated augmentation whole shards.
  const step = leastCommon(mixes(recipe) ? 2 : 1, recipe.repeats > 1 ? recipe.shards : 1);
  let [most, tooMany] = [0, Math.ceil(batchSize / accumulate / step)];
  while (tooMany - most > 1) {
    const half = (most + tooMany) >> 1;
    if (fits({ batchSize: half * step, accumulate: 1 })) most = half;
    else tooMany = half;
  }
  if (most === 0) return `not even batches of ${step} fit`;
  const largest = most * step;
  for (let parts = accumulate + 1; parts <= batchSize; parts++) {
    const together = batchSize / parts;
    const whole = Number.isInteger(together) && (!mixes(recipe) || together % 2 === 0);
    if (whole && together <= largest && fits({ accumulate: parts }))
      return `batches of ${largest} fit, or ${batchSize} images with accumulate ${parts} for the same update`;
  }
  return `batches of ${largest} fit`;
}

function leastCommon(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return (a * b) / x;
}
