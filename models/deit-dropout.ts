/** Dropout in a vision transformer: after the position embedding, and in each branch after projection, activation and second layer. */
import { dropPath } from "../kernels/drop-path.ts";
import { dropout, type DropoutOptions } from "../kernels/dropout.ts";
import { add, mul } from "../kernels/elementwise.ts";
import { linear } from "../kernels/linear.ts";
import type { Tensor } from "../engine/tensor.ts";
import type { DeitOptions, Layers } from "./deit.ts";

/** Dropout's random streams begin here, past those of stochastic depth. */
const DROPOUT = 0x64726f70; // "drop"

/** `deit`'s layers with dropout, which acts between the parts of the fused ones. `draws`: of stochastic depth, as `deit` gets them. */
export function dropoutLayers(drop: Omit<DropoutOptions, "stream">, draws: DeitOptions["dropPath"]): Layers {
  const dropped = (y: Tensor, stream: number): Tensor => dropout(y, { ...drop, stream: DROPOUT + stream });
  const layers: Layers = {
    embedded: (t) => dropped(t, 0),
    projected(t, mixed, proj, { block, which, rate, scale }) {
      const made = dropped(linear(mixed, ...proj), 3 * block + (which === 1 ? 1 : 3));
      const y = scale ? mul(made, scale) : made;
      return add(t, rate > 0 ? dropPath(y, { rate, seed: draws!.seed, step: draws!.step, stream: 2 * block + which - 1 }) : y);
    },
    mlp: (t, normed, fc1, fc2, branch) =>
      layers.projected(t, layers.hidden(linear(normed, ...fc1, { activation: "gelu" }), branch), fc2, branch),
    hidden: (h, { block }) => dropped(h, 3 * block + 2),
  };
  return layers;
}
