/** Which images an epoch of a recipe shows, and in what order. */
import { epochOrder, stepsPerEpoch } from "../data/dataset.ts";
import type { EpochEntries } from "./options.ts";
import type { Recipe } from "../recipe.ts";
import { repeatedBatch, repeatedSteps } from "./sampler.ts";

type OrderSettings = Pick<Recipe, "batchSize" | "repeats" | "shards">;

const repeatsOf = ({ repeats, shards }: OrderSettings) => ({ repeats, replicas: shards });

/** Whole steps in an epoch. */
export const recipeSteps = (count: number, recipe: OrderSettings): number =>
  recipe.repeats === 1 ? stepsPerEpoch(count, recipe.batchSize) : repeatedSteps(count, recipe.batchSize, repeatsOf(recipe));

/** The entries of all whole steps of an epoch, step after step. */
export function recipeOrder(count: number, seed: number, recipe: OrderSettings): (epoch: number) => EpochEntries {
  const steps = recipeSteps(count, recipe);
  const size = recipe.batchSize;
  return (epoch) => {
    const order = epochOrder(count, seed, epoch);
    if (recipe.repeats === 1) return { images: order.subarray(0, steps * size) };
    const [images, copies] = [new Uint32Array(steps * size), new Uint32Array(steps * size)];
    for (let step = 0; step < steps; step++) {
      const batch = repeatedBatch(order, step, size, repeatsOf(recipe));
      images.set(batch.images, step * size);
      copies.set(batch.copies, step * size);
    }
    return { images, copies };
  };
}
