/** Random numbers of augmentation: a separate sequence for every (seed, ingredient, image, epoch, copy). */
import { philox, Random } from "../../kernels/shared/random.ts";

/** Source of a sampler's draws: a `Random`, or a recorded sequence. */
export type Draws = Pick<Random, "uniform" | "int" | "normal">;

/**
 * The sequence of one stream at one place, e.g. [image, epoch, copy]: integers in [0, 2^32). Stream and place are hashed into the
 * sequence's key, so that no two sequences share draws or depend on each other's length.
 */
export function randomAt(seed: number, stream: number, place: readonly [number, number, number]): Random {
  const [a, b] = philox([place[0] >>> 0, place[1] >>> 0, place[2] >>> 0, 0], [seed >>> 0, stream >>> 0]);
  return new Random(a, b);
}
