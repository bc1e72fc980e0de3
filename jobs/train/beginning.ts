/** What a training begins with. */
import { checkState } from "../../models/check-state.ts";
import { replaceHead, type Weights } from "../../models/checkpoints/weights.ts";
import type { Model } from "../../models/model.ts";
import type { State } from "../../models/params.ts";
import { resizedPosEmbed } from "../../models/pos-embed.ts";
import { refusing } from "../errors.ts";
import type { Host } from "../host.ts";
import type { TrainArgs } from "./settings.ts";

/** The initial weights, with new classifiers or an interpolated position embedding if requested. */
export function beginning(host: Host, model: Model, { state }: Weights, args: TrainArgs): State {
  let fitted: State = state;
  if (args.resizePosEmbed) fitted = refusing(() => resizedPosEmbed(fitted, model), args.initial);
  if (args.replaceHead) {
    const { state: with_, replaced } = refusing(() => replaceHead(model.params, fitted, args.seed), args.initial);
    host.log({ message: `classifier begun anew: ${replaced.join(", ")}` });
    fitted = with_;
  }
  refusing(() => checkState(model.name, model.params, fitted), args.initial);
  return fitted;
}
