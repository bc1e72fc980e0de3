/** Updates skipped for gradients that are not finite leave Adam's bias correction alone, as PyTorch's GradScaler does. */
import { expect, test } from "vitest";
import { Scalars } from "../../kernels/shared/scalars.ts";
import { scope } from "../../engine/memory.ts";
import { Tensor } from "../../engine/tensor.ts";
import { correctBias } from "../../kernels/optim/bias-correction.ts";
import { ParameterStore } from "../../models/params.ts";
import { InFlight } from "../../train/in-flight.ts";
import { Optimizer, optimizerScalars } from "../../train/optimizer.ts";
import { makeRecipe } from "../../train/recipe.ts";

test.each([
  [1, 0],
  [7, 3],
  [800, 1],
  [100_000, 0],
])("bias corrections of update %i after %i skipped", async (update, skips) => {
  const scalars = new Scalars(optimizerScalars);
  scalars.set({ update });
  const [skipped, finite] = [Tensor.from([skips], [1]), Tensor.from([1, 1], [2])];
  const [beta1, beta2] = [0.9, 0.999];
  correctBias({ skipped, finite }, { update: scalars.at("update"), bias1: scalars.at("bias1"), bias2: scalars.at("bias2"), beta1, beta2 });
  const words = Uint32Array.from(await scalars.tensor.read());
  const got = new Float32Array(words.buffer);
  for (const [name, beta] of [
    ["bias1", beta1],
    ["bias2", beta2],
  ] as const) {
    const expected = 1 - beta ** (update - skips);
    expect(Math.abs(got[scalars.at(name).at]! / expected - 1), name).toBeLessThan(1e-6);
  }
});

test("after seven skipped updates the first one moves every weight by lr", async () => {
  const [n, lr] = [64, 0.01];
  const data = Float32Array.from({ length: n }, (_, i) => i / n);
  const spec = { name: "w", shape: [n], init: { kind: "zeros" }, trainable: true, decay: false } as const;
  const store = new ParameterStore("test", [spec], new Map([["w", { shape: [n], data }]]));
  const optimizer = new Optimizer(makeRecipe({ emaDecay: null, weightDecay: 0 }), store);
  const scalars = new Scalars(optimizerScalars);
  const gradients = Float32Array.from({ length: n }, (_, i) => (i % 2 ? 1 : -1) * (1 + i));
  for (let update = 1; update <= 8; update++) {
    store.grads[0]!.write(update <= 7 ? gradients.map(() => NaN) : gradients);
    scalars.set(optimizer.scalarsAt(update, lr));
    scope(() => void optimizer.step(scalars));
  }
  const after = (await store.state()).get("w")!.data;
  after.forEach((v, i) => expect((data[i]! - v) * Math.sign(gradients[i]!)).toBeCloseTo(lr, 5));
  expect(await optimizer.skipped!.item()).toBe(7);
});

test("a failure is kept until it is awaited, and those behind it wait for it", async () => {
  const inFlight = new InFlight();
  const told: number[] = [];
  inFlight.push(new Promise<number>((resolve) => setTimeout(() => resolve(1), 5)), (v) => told.push(v));
  inFlight.push(Promise.resolve(2), (v) => told.push(v));
  await inFlight.drain();
  expect(told).toEqual([1, 2]);
  inFlight.push(Promise.reject(new Error("lost")), () => undefined);
  inFlight.push(Promise.resolve(3), (v) => told.push(v));
  await new Promise((resolve) => setTimeout(resolve, 5)); // vitest fails on a rejection that is unhandled by now
  await expect(inFlight.drain()).rejects.toThrow("lost");
  expect(told).toEqual([1, 2]);
});
