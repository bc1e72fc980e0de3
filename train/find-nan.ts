/** Finds the source of the first NaN or infinity in a step: runs the step again launch by launch and searches each launch's outputs. */
import { keep, scope } from "../engine/memory.ts";
import { show } from "../engine/shape.ts";
import { readAll, type Tensor } from "../engine/tensor.ts";
import { withWatcher } from "../engine/kernel.ts";
import { ALL_FINITE, firstNotFinite } from "../kernels/shared/first-not-finite.ts";

interface Searched {
  /** "y of layerNorm.forward" or the name of a parameter. */
  readonly what: string;
  readonly shape: readonly number[];
  readonly found: Tensor;
}

/**
 * Runs `body` unrecorded. Resolves to a sentence with the first tensor that is not finite, in the order of launches and after `given` (by
 * name, e.g. parameters), its first such element and the value; to `null` where everything is finite.
 */
export async function findNan(given: Readonly<Record<string, Tensor>>, body: () => unknown): Promise<string | null> {
  const searched: Searched[] = [];
  const search = (what: string, tensor: Tensor): void => {
    if (tensor.dtype === "f32" || tensor.dtype === "f16")
      searched.push({ what, shape: tensor.shape, found: scope(() => keep(firstNotFinite(tensor))) });
  };
  for (const [name, tensor] of Object.entries(given)) search(name, tensor);
  scope(() => {
    withWatcher((kernel, written) => {
      for (const [name, tensor] of Object.entries(written)) search(`${name} of ${kernel}`, tensor);
    }, body);
  });
  const results = await readAll(searched.map(({ found }) => found));
  for (const { found } of searched) found.dispose();
  const first = results.findIndex(([index]) => index !== ALL_FINITE);
  if (first === -1) return null;
  const { what, shape } = searched[first]!;
  const [index, bits] = results[first] as unknown as [number, number];
  const value = new Float32Array(Uint32Array.of(bits).buffer)[0];
  return `${value} at element [${indexIn(shape, index)}] of ${what}, ${show(shape)}`;
}

function indexIn(shape: readonly number[], flat: number): number[] {
  const index: number[] = [];
  let rest = flat;
  for (const size of [...shape].reverse()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return index;
}
