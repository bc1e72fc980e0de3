/** Dropout in a vision transformer: after the position embedding, and in each branch after projection, activation and second layer. */
import { dropPath } from "../kernels/drop-path.ts";
import { dropout, type DropoutOptions } from "../kernels/dropout.ts";
import { add, mul } from "../kernels/elementwise.ts";
import { linear } from "../kernels/linear.ts";
import type { Tensor } from "../engine/tensor.ts";
import type { Branch, DeitOptions, Layers } from "./deit.ts";

/** Dropout's random streams begin here, past those of stochastic depth. */
const DROPOUT = 0x64726f70; // "drop"

/** `deit`'s layers with dropout, which acts between the parts of the fused ones. `draws`: of stochastic depth, as `deit` gets them. */
export function dropoutLayers(drop: Omit<DropoutOptions, "stream">, draws: DeitOptions["dropPath"]): Layers {
  const dropped = (y: Tensor, stream: number): Tensor => dropout(y, { ...drop, stream: DROPOUT + stream });
  const added = (t: Tensor, made: Tensor, { rate, scale }: Branch, stream: number): Tensor => {
    const y = scale ? mul(made, scale) : made;
    return add(t, rate > 0 ? dropPath(y, { rate, seed: draws!.seed, step: draws!.step, stream }) : y);
  };
  return {
    embedded: (t) => dropped(t, 0),
    attention: (t, mixed, proj, branch) => added(t, dropped(linear(mixed, ...proj), 3 * branch.block + 1), branch, 2 * branch.block),
    mlp(t, normed, fc1, fc2, branch) {
      const hidden = dropped(linear(normed, ...fc1, { activation: "gelu" }), 3 * branch.block + 2);
      return added(t, dropped(linear(hidden, ...fc2), 3 * branch.block + 3), branch, 2 * branch.block + 1);
    },
  };
}
