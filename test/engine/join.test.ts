/** Sums of a recorded step that share launches: which do, and the bits that they make. */
import { expect, test } from "vitest";
import { gradients } from "../../engine/autograd.ts";
import { scope } from "../../engine/memory.ts";
import { record } from "../../engine/plan.ts";
import { Tensor } from "../../engine/tensor.ts";
import { layerNorm } from "../../kernels/layer-norm.ts";
import { linear } from "../../kernels/linear.ts";
import { addParts } from "../../kernels/shared/add-parts.ts";
import { place } from "../../kernels/shared/place.ts";
import { sum } from "../../kernels/shared/reduce.ts";
import { uniform } from "../../checks/check.ts";

const random = (shape: readonly number[], seed: number): Tensor =>
  Tensor.from(
    uniform(
      shape.reduce((a, b) => a * b),
      seed,
    ),
    shape,
  );

test("gradients of weights in one buffer are added together, in the bits that they have alone", async () => {
  // So few weights and so many rows that the products are cut along K.
  const rows = 4096,
    width = 8;
  const x = random([rows, width], 1);
  const params = Array.from({ length: 3 }, (_, k) => [
    random([width], 4 * k + 2),
    random([width], 4 * k + 3),
    random([width, width], 4 * k + 4),
    random([width], 4 * k + 5),
  ]).flat();
  for (const t of params) t.requiresGrad = true;
  const made = () => {
    let y = x;
    for (let k = 0; k < 3; k++) y = linear(layerNorm(y, params[4 * k]!, params[4 * k + 1]!), params[4 * k + 2]!, params[4 * k + 3]!);
    return gradients(sum(y), params);
  };
  const alone = await Promise.all(scope(made).map((t) => t.floats()));
  const flat = random([64 * params.length], 99);
  const views = params.map((t, k) => new Tensor(t.shape, "f32", flat.storage, 256 * k));
  const plan = await record(() => made().forEach((t, k) => place(t, views[k]!)));
  plan.run();
  const found = await flat.floats();
  alone.forEach((values, k) => expect([...found.subarray(64 * k, 64 * k + values.length)], `parameter ${k}`).toEqual([...values]));
  expect(plan.kernels.filter((name) => name === "gemm.reduce")).toEqual([]);
  expect(plan.kernels.filter((name) => name === "joinedSums").length).toBeGreaterThan(0);
  plan.dispose();
});

test("a sum that is read, or whose parts change, does not wait; sums of other buffers are on their own", async () => {
  const parts = [1, 2, 3].map((seed) => random([3, 64], seed));
  const [flat, other, copy] = [0, 0, 0].map(() => Tensor.zeros([256])) as [Tensor, Tensor, Tensor];
  const at = (t: Tensor, k: number) => new Tensor([64], "f32", t.storage, 256 * k);
  const kernels = async (body: () => void) => {
    const plan = await record(body);
    const names = plan.kernels.filter((name) => name !== "place.copyInto");
    plan.run();
    plan.dispose();
    return names;
  };
  const summed = (k: number, into: Tensor) => place(addParts([parts[k]!])[0], at(into, k));
  expect(await kernels(() => [0, 1, 2].forEach((k) => summed(k, flat)))).toEqual(["joinedSums"]);
  const expected = [...(await flat.floats())];
  expect(
    await kernels(() => {
      summed(0, flat);
      place(at(flat, 0), at(copy, 0)); // reads the first sum
      summed(1, flat);
      summed(2, other);
    }),
  ).toEqual(["addParts", "addParts", "addParts"]);
  expect([...(await copy.floats())].slice(0, 64)).toEqual(expected.slice(0, 64));
  expect([...(await other.floats())].slice(128, 192)).toEqual(expected.slice(128, 192));
});
