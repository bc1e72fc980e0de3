/** The part of a Tessera checkpoint's record (train/checkpoint.ts) that a command for timm needs. */
import * as z from "zod/mini";
import { createModel } from "../../models/model.ts";
import { quote } from "../../models/shown.ts";
import { schemaFault } from "../../models/schema-fault.ts";
import { parseAutoAugment } from "../../train/augment/auto-augment.ts";
import { parseRandAugment } from "../../train/augment/rand-augment.ts";
import { makeRecipe } from "../../train/recipe.ts";
import type { TimmRun } from "./timm-command.ts";

const record = z.object({
  seed: z.int().check(z.minimum(0), z.maximum(2 ** 32 - 1)),
  epoch: z.int().check(z.minimum(0)),
  model: z.record(z.string(), z.unknown()),
  recipe: z.record(z.string(), z.unknown()),
  about: z.optional(
    z.object({
      mean: z.optional(z.array(z.number())),
      std: z.optional(z.array(z.number().check(z.positive()))),
      teacher: z.optional(z.string()),
    }),
  ),
});

/**
 * The run of the record `text`. The record is untrusted: every value returned has passed a schema, a grammar (auto-augment) or the
 * model's own check. Throws `checkpoint: expected …, got …` otherwise.
 */
export function runOf(text: string): Omit<TimmRun, "weights"> {
  const value = json(text);
  const parsed = record.safeParse(value);
  if (!parsed.success) throw new Error(`checkpoint: training run's record: ${schemaFault(parsed.error, value, "record")}`);
  const { seed, epoch, model, about } = parsed.data;
  const recipe = makeRecipe(parsed.data.recipe);
  const { autoAugment } = recipe;
  if (autoAugment?.startsWith("rand")) parseRandAugment(autoAugment);
  else if (autoAugment !== null) parseAutoAugment(autoAugment);
  return { config: createModel(model).config, recipe, seed, epoch, mean: about?.mean, std: about?.std, teacher: about?.teacher };
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`checkpoint: expected a training run's record in JSON, got ${quote(text)}`);
  }
}
