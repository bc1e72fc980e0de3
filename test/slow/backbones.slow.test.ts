/**
 * DeiT III, DINO, DINOv2, MAE, ViT, DINOv3 and EVA-02 at their real size against timm (test/golden/backbones.py and rotary.py): logits or
 * features, every block's activations, and every parameter's gradient, of one image. Prints the table of RESULTS.md.
 */
import { afterAll, expect, test } from "vitest";
import { gradients } from "../../engine/autograd.ts";
import { adapterName, getDevice } from "../../engine/device.ts";
import { record } from "../../engine/plan.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { crossEntropy } from "../../kernels/cross-entropy.ts";
import { mul } from "../../kernels/elementwise.ts";
import { sum } from "../../kernels/shared/reduce.ts";
import { createModel } from "../../models/model.ts";
import { loadParams } from "../../models/params.ts";
import golden from "../golden/backbones.json" with { type: "json" };
import rotary from "../golden/rotary.json" with { type: "json" };
import { fill, fillInput, fillState } from "../golden/fill.ts";
import { distance } from "../golden/probe.ts";

interface Golden {
  readonly y: string;
  readonly activations: Readonly<Record<string, { readonly shape: readonly number[]; readonly probe: readonly number[] }>>;
  readonly loss: number;
  readonly gradients: Readonly<Record<string, readonly number[]>>;
}

const models = { ...golden.models, ...rotary.models } as unknown as Readonly<Record<string, Golden>>;
const VALUE = 1e-4,
  GRADIENT = 1e-3;

const rows: string[] = [];
afterAll(() => {
  const head = ["| model | worst logit or feature | worst activation | worst gradient | forward and backward |", "|---|---|---|---|---|"];
  process.stdout.write(`\nadapter: ${adapterName(getDevice().adapter)}\n\n${[...head, ...rows].join("\n")}\n`);
});

/** The largest of several errors, which must be within `tol`; not a number counts as the largest. */
function worst(tol: number, errors: readonly (readonly [of: string, error: number])[]): string {
  const [of, error] = errors.reduce((a, b) => (b[1] <= a[1] ? a : b));
  expect(error, of).toBeLessThanOrEqual(tol);
  return `${error.toExponential(1)} at ${of}`;
}

test.each(Object.keys(models))("%s", async (name) => {
  const expected = models[name]!;
  const model = createModel(name);
  const filled = fillState(model.params.map((s) => [s.name, s.shape]));
  const state = new Map(model.params.map((s) => [s.name, { shape: s.shape, data: filled.get(s.name)! }]));
  // One buffer for each: all together are more than a software adapter binds.
  const params = loadParams(name, model.params, state);
  for (const t of Object.values(params)) t.requiresGrad = true;
  const x = Tensor.from(fillInput(model.imageShape.reduce((a, b) => a * b)), [1, ...model.imageShape]);
  const labels = Tensor.from([3], [1], "u32");
  const dy = Tensor.from(fill(model.featureWidth, 1, 1), [1, model.featureWidth]);
  const plan = await record(() => {
    const taps: Record<string, Tensor> = {};
    const { logits: y } = model.forward(params, x, { tap: (tapped, value) => tapped in expected.activations && (taps[tapped] = value) });
    const loss = model.numClasses > 0 ? crossEntropy(y, labels, { labelSmoothing: 0.1 }) : sum(mul(y, dy));
    return { seen: { y, loss, ...taps } as Record<string, Tensor>, grads: gradients(loss, Object.values(params)) };
  });
  const startMs = performance.now();
  plan.run();
  await plan.idle();
  const seconds = (performance.now() - startMs) / 1000;
  const names = Object.keys(plan.result.seen);
  const values = (await readAll(Object.values(plan.result.seen))) as Float32Array[];
  const got = Object.fromEntries(names.map((n, i) => [n, values[i]!]));
  const found = new Map<string, number>();
  for (const [i, parameter] of Object.keys(params).entries())
    found.set(parameter, distance(await plan.result.grads[i]!.floats(), expected.gradients[parameter]!));
  plan.dispose();
  for (const t of [x, labels, dy, ...Object.values(params)]) t.dispose();

  expect(names.slice(2).toSorted()).toEqual(Object.keys(expected.activations).toSorted());
  expect([...found.keys()].toSorted()).toEqual(Object.keys(expected.gradients).toSorted());
  expect(Math.abs(got["loss"]![0]! - expected.loss)).toBeLessThanOrEqual(VALUE * (1 + Math.abs(expected.loss)));
  const y = new Float32Array(Uint8Array.from(atob(expected.y), (c) => c.charCodeAt(0)).buffer); // little-endian, as every machine here is
  expect(got["y"]!.length).toBe(y.length);
  const cells = [
    worst(
      VALUE,
      [...y].map((v, i) => [`${i}`, Math.abs(got["y"]![i]! - v) / (1 + Math.abs(v))]),
    ),
    worst(
      VALUE,
      Object.entries(expected.activations).map(([tap, { probe }]) => [tap, distance(got[tap]!, probe)]),
    ),
    worst(GRADIENT, [...found]),
  ];
  rows.push(`| \`${name}\` | ${cells.join(" | ")} | ${seconds.toFixed(1)} s |`);
});
