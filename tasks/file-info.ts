/** What a file says of its model besides the weights: config, classes, and how pictures come to it. */
import { preprocessing, type Placing, type Preprocessing, type Protocol } from "../models/images/protocols.ts";
import type { WeightsInfo } from "../models/checkpoints/weights.ts";
import type { Model } from "../models/model.ts";
import { WeightsError } from "./errors.ts";
import type { Parts } from "./parts.ts";

/** As `save()` writes it. */
export function infoFor({ model, labels, steps }: Pick<Parts, "model" | "labels" | "steps">) {
  const { mean, std, ...placing } = steps;
  return { config: model.config, classes: labels, mean, std, placing };
}

/** The preprocessing: the file's own takes precedence over a protocol. */
export function stepsOf(model: Model, info: WeightsInfo | null, protocol: Protocol): Preprocessing {
  const size = model.imageShape[1];
  const steps = preprocessing(protocol, model.name, size);
  const placing = placingIn(info, size);
  return { ...steps, ...placing, mean: info?.mean ?? steps.mean, std: info?.std ?? steps.std };
}

/** Resize and crop as `save()` writes them, scaled in proportion for another input size. */
function placingIn(info: WeightsInfo | null, size: number): Placing | null {
  const { placing } = (info ?? {}) as { placing?: Partial<Placing> };
  if (!placing) return null;
  const { size: saved, resize, square, filter } = placing;
  const whole = (v: unknown): v is number => Number.isInteger(v) && (v as number) > 0;
  if (!whole(saved) || !whole(resize) || resize < saved || typeof square !== "boolean" || (filter !== "bicubic" && filter !== "bilinear"))
    throw new WeightsError(`loadModel: expected a placing of size, resize, square and filter in the file, got ${JSON.stringify(placing)}`);
  return { size, resize: Math.max(size, Math.trunc((resize * size) / saved)), square, filter };
}
