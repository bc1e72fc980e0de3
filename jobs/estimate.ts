/** `train --dry-run`: reads and checks what `train` would, and says the GPU memory that it would take. Nothing is trained or written. */
import { countParams } from "../models/params.ts";
import type { MemoryEstimate } from "../train/estimate.ts";
import type { Host } from "./host.ts";
import { beginning } from "./train/beginning.ts";
import { readSettings, type TrainArgs } from "./train/settings.ts";

export interface EstimateSummary {
  readonly model: string;
  /** Trainable parameters. */
  readonly params: number;
  /** Images at once. */
  readonly batch: number;
  readonly memory: MemoryEstimate;
}

export default async function estimateJob(host: Host, args: TrainArgs): Promise<EstimateSummary> {
  const { model, recipe, memory, initial } = await readSettings(host, args);
  if (initial) beginning(host, model, initial, args);
  return { model: model.name, params: countParams(model.params), batch: recipe.batchSize / recipe.accumulate, memory };
}
