/** Weights of one resolution in a model of another: the position embedding is interpolated. */
import { BICUBIC, antialiasedBands } from "../kernels/shared/resample.ts";
import { interpolationBands } from "../kernels/shared/bands.ts";
import { gridChange } from "../kernels/resize-pos-embed.ts";
import { checkState } from "./check-state.ts";
import { posEmbedPrefix } from "./deit-config.ts";
import type { Model } from "./model.ts";
import type { State } from "./params.ts";

/** Names of models whose own code is timm's, which antialiases (`resample_abs_pos_embed`); DeiT's fine-tuning does not. */
const TIMM = /^(vit|deit3|eva02)_/;

/**
 * `state` with a position embedding that fits `model`; the same state where it does. Bicubic: as DeiT's official fine-tuning does it, or of
 * timm's `vit_`, `deit3_` and `eva02_` names as timm does it. In f64 on the CPU, rounded once: the same on every adapter. `resizePosEmbed` in kernels/
 * is the official operation on the GPU.
 * Throws a StateError for weights without one, of another width or of another number of tokens before the grid.
 */
export function resizedPosEmbed(state: State, { name, config, params }: Model): State {
  if (config.arch !== "deit")
    throw new Error(`resizedPosEmbed: expected a vision transformer, which has a position embedding, got ${name}`);
  if (config.rope === "dinov3") return state; // has none: its angles are made for any size
  const { dim: D } = config;
  const given = state.get("pos_embed");
  const prefix = posEmbedPrefix(config);
  const size = config.imgSize / config.patchSize;
  if (!given || given.shape.at(-1) !== D || !Number.isInteger(Math.sqrt(given.shape.at(-2)! - prefix))) {
    checkState(name, params, state); // throws: what differs is named whole, with the models that such weights fit
    return state;
  }
  const { side } = gridChange(given.shape, { prefix, height: size, width: size });
  if (side === size) return state;
  const bands = TIMM.test(name) ? antialiasedBands(side, size, BICUBIC) : interpolationBands(side, size);
  const data = new Float32Array((prefix + size * size) * D);
  data.set(given.data.subarray(0, prefix * D));
  bands.forEach((row, y) =>
    bands.forEach((column, x) => {
      for (let d = 0; d < D; d++) {
        let sum = 0;
        row.weights.forEach((a, i) =>
          column.weights.forEach((b, j) => {
            sum += a * b * given.data[(prefix + (row.from + i) * side + column.from + j) * D + d]!;
          }),
        );
        data[(prefix + y * size + x) * D + d] = sum;
      }
    }),
  );
  return new Map([...state].map(([key, values]) => [key, key === "pos_embed" ? { shape: [1, prefix + size * size, D], data } : values]));
}
