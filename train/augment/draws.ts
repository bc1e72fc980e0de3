/** Where augmentation gets its random numbers from: a sequence of its own for every (seed, ingredient, image, epoch, copy). */
import { philox, Random } from "../../kernels/shared/random.ts";

/** What samplers draw. `Random` is one; a recorded sequence is another. */
export type Draws = Pick<Random, "uniform" | "int" | "normal">;

/**
 * The sequence of one stream at one place, e.g. [image, epoch, copy]: integers in [0, 2^32). Places and streams are hashed into
 * the sequence's key, so that no two share draws and none depends on how many another took.
 */
export function randomAt(seed: number, stream: number, place: readonly [number, number, number]): Random {
  const [a, b] = philox([place[0] >>> 0, place[1] >>> 0, place[2] >>> 0, 0], [seed >>> 0, stream >>> 0]);
  return new Random(a, b);
}
