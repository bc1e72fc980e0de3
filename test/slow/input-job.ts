/** How fast images come to the GPU's queue, on whatever machine the job runs on: read, decoded, drawn, augmented where the CPU is to, uploaded. */
import type { Host } from "../../jobs/host.ts";
import { createModel } from "../../models/model.ts";
import { IMAGENET } from "../../models/images/protocols.ts";
import { openSource, type DataFiles } from "../../train/data/open.ts";
import { InputPipeline } from "../../train/input/pipeline.ts";
import { recipeOrder } from "../../train/input/order.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { makeStepInput } from "../../train/input/step-input.ts";

export interface RateArgs {
  readonly files: DataFiles;
  readonly side: number;
  readonly augment: "gpu" | "cpu";
  readonly workers: number;
  /** Batches that are timed, after two that are not. */
  readonly batches: number;
  readonly batchSize: number;
}

/** Images per second, the paper's recipe. */
export default async function (host: Host, { files, side, augment, workers, batches, batchSize }: RateArgs): Promise<number> {
  const train = await openSource(files, (from) => host.images.read(from));
  const model = createModel({ arch: "deit", imgSize: side, patchSize: side / 8, dim: 16, depth: 1, heads: 1 });
  const recipe = makeRecipe({ batchSize });
  const input = makeStepInput({ model, recipe, seed: 1, normalization: IMAGENET, train, augment });
  const pipeline = new InputPipeline(train, {
    batchSize,
    order: recipeOrder(train.count, 1, recipe),
    prepare: input.prepare,
    platform: host.images,
    workers,
  });
  let fromMs = 0;
  for (let k = -2; k < batches; k++) {
    if (k === 0) fromMs = performance.now();
    input.write(await pipeline.next());
  }
  const seconds = (performance.now() - fromMs) / 1000;
  await pipeline.close();
  input.dispose();
  return (batches * batchSize) / seconds;
}
