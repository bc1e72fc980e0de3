import { add, gelu, mul, relu, scale, sigmoid } from "../../kernels/elementwise.ts";
import { mean, sum } from "../../kernels/reduce.ts";
import { checkOp, refuses, type Case } from "../check.ts";
import { broadcast, geluReference, sumAxis } from "../reference/elementwise.ts";
import { Tensor } from "../../engine/tensor.ts";

const map = (f: (x: number) => number) => (x: Float64Array) => x.map(f);

export const cases: Case[] = [
  { name: "relu: a length that fills no workgroup evenly", run: () => checkOp({ inputs: [[7, 13]], op: relu, reference: map((x) => Math.max(x, 0)) }) },
  { name: "sigmoid: one element", run: () => checkOp({ inputs: [[1]], op: sigmoid, reference: map((x) => 1 / (1 + Math.exp(-x))) }) },
  { name: "gelu: a length that fills no workgroup evenly", run: () => checkOp({ inputs: [[7, 13]], op: gelu, reference: geluReference }) },
  { name: "scale: a length that fills no workgroup evenly", run: () => checkOp({ inputs: [[70]], op: (x) => scale(x, -0.3), reference: map((x) => -0.3 * x) }) },
  {
    name: "gelu: tails, and both sides of zero",
    run: () => checkOp({ inputs: [{ shape: [9], values: [-8, -5, -3, -1, 0, 0.5, 1, 3, 8] }], op: gelu, reference: geluReference, tol: 2e-6, grads: [] }),
  },
  ...[
    { why: "same shapes", a: [3, 67], b: [3, 67] },
    { why: "a bias over rows", a: [4, 5, 33], b: [33] },
    { why: "one per row", a: [4, 5, 33], b: [4, 5, 1] },
    { why: "both sides broadcast", a: [4, 1, 33], b: [5, 1] },
    { why: "a scalar", a: [2, 3], b: [1] },
    { why: "positions over a batch, longer than a stripe", a: [2, 700, 3], b: [1, 1, 3] },
  ].flatMap(({ why, a, b }) => [
    { name: `add: ${why}`, run: () => checkOp({ inputs: [a, b], op: add, reference: broadcast(a, b, (x, y) => x + y) }) },
    { name: `mul: ${why}`, run: () => checkOp({ inputs: [a, b], op: mul, reference: broadcast(a, b, (x, y) => x * y) }) },
  ]),
  { name: "add: refuses shapes that do not broadcast", run: () => refuses(() => add(Tensor.zeros([2, 3]), Tensor.zeros([4])), /add: expected shapes that broadcast, got \[2,3\] and \[4\]/) },
  { name: "sum: a middle axis", run: () => checkOp({ inputs: [[3, 5, 7]], op: (x) => sum(x, 1), reference: sumAxis([3, 5, 7], 1), shape: [3, 7] }) },
  { name: "sum: over stripes", run: () => checkOp({ inputs: [[1024, 3]], op: (x) => sum(x, 0, true), reference: sumAxis([1024, 3], 0), shape: [1, 3] }) },
  { name: "mean: rows longer than a workgroup", run: () => checkOp({ inputs: [[3, 131]], op: (x) => mean(x, -1), reference: (x) => sumAxis([3, 131], 1)(x).map((v) => v / 131), shape: [3] }) },
];
