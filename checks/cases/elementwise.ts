import { add, gelu, mul, relu, scale, sigmoid, silu } from "../../kernels/elementwise.ts";
import { mean, sum } from "../../kernels/shared/reduce.ts";
import { checkOp, refuses, type Case } from "../check.ts";
import { andOnGpu } from "../on-a-gpu.ts";
import { op, type Timed } from "../op.ts";
import { broadcast, geluReference, sumAxis } from "../reference/elementwise.ts";
import { Tensor } from "../../engine/tensor.ts";

const map = (f: (x: number) => number) => (x: Float64Array) => x.map(f);

const UNARY = {
  relu: { op: relu, f64: map((x) => Math.max(x, 0)) },
  sigmoid: { op: sigmoid, f64: map((x) => 1 / (1 + Math.exp(-x))) },
  silu: { op: silu, f64: map((x) => x / (1 + Math.exp(-x))) },
  gelu: { op: gelu, f64: geluReference },
};
const BINARY = { add: { op: add, f64: (x: number, y: number) => x + y }, mul: { op: mul, f64: (x: number, y: number) => x * y } };
const SIZES: readonly Timed<object>[] = [{ sizes: "788x768" }, { sizes: "12608x768", on: "gpu" }];

export const ops = [
  ...Object.entries(UNARY).map(([name, { op: run, f64 }]) =>
    op(name, {
      inputs: { x: "[..]" },
      outputs: "y [..]",
      run: ({ x }) => run(x),
      reference: ({ x }) => f64(x),
      timed: SIZES.map((one) => ({ ...one, quick: name === "gelu" && !one.on })),
    }),
  ),
  ...Object.entries(BINARY).map(([name, { op: run, f64 }]) =>
    op(name, {
      inputs: { x: "[..]", b: "[..] that broadcasts" },
      outputs: "y [..]",
      run: ({ x, b }) => run(x, b),
      reference: ({ x, b }, shapes) => broadcast(shapes.x, shapes.b, f64)(x, b),
      timed: SIZES,
    }),
  ),
];

export const cases: Case[] = [
  ...Object.entries({ ...UNARY, scale: { op: (x: Tensor) => scale(x, -0.3), f64: map((x) => -0.3 * x) } }).flatMap(
    ([name, { op, f64 }]): Case[] => [
      { name: `${name}: a length that fills no workgroup evenly`, run: () => checkOp({ inputs: [[7, 13]], op, reference: f64 }) },
      { name: `${name}: one element`, run: () => checkOp({ inputs: [[1]], op, reference: f64 }) },
      { name: `${name}: whole fours, more than a workgroup`, run: () => checkOp({ inputs: [[5, 212]], op, reference: f64 }) },
    ],
  ),
  {
    name: "gelu: tails, and both sides of zero",
    run: () =>
      checkOp({
        inputs: [{ shape: [9], values: [-8, -5, -3, -1, 0, 0.5, 1, 3, 8] }],
        op: gelu,
        reference: geluReference,
        tol: 2e-6,
        grads: [],
      }),
  },
  ...[
    { why: "same shapes", a: [3, 67], b: [3, 67] },
    { why: "a bias over rows", a: [4, 5, 33], b: [33] },
    { why: "one per row", a: [4, 5, 33], b: [4, 5, 1] },
    { why: "both sides broadcast", a: [4, 1, 33], b: [5, 1] },
    { why: "a scalar", a: [2, 3], b: [1] },
    { why: "same shapes, whole fours", a: [3, 68], b: [3, 68] },
    { why: "a bias over rows, whole fours", a: [4, 5, 36], b: [36] },
    { why: "one per row, whole fours", a: [4, 5, 36], b: [4, 5, 1] },
    { why: "both sides broadcast, whole fours", a: [4, 1, 36], b: [5, 1] },
    { why: "one per channel, whole fours", a: [2, 3, 4, 5], b: [3, 1, 1] },
    { why: "a scalar over whole fours", a: [2, 4], b: [1] },
    { why: "positions over a batch, longer than a stripe", a: [2, 700, 3], b: [1, 1, 3] },
  ].flatMap(({ why, a, b }) =>
    Object.entries(BINARY).map(([name, { op, f64 }]) => ({
      name: `${name}: ${why}`,
      run: () => checkOp({ inputs: [a, b], op, reference: broadcast(a, b, f64) }),
    })),
  ),
  {
    name: "add: refuses shapes that do not broadcast",
    run: () => refuses(() => add(Tensor.zeros([2, 3]), Tensor.zeros([4])), /add: expected shapes that broadcast, got \[2,3\] and \[4\]/),
  },
  {
    name: "sum: a middle axis",
    run: () => checkOp({ inputs: [[3, 5, 7]], op: (x) => sum(x, 1), reference: sumAxis([3, 5, 7], 1), shape: [3, 7] }),
  },
  {
    name: "sum: over stripes",
    run: () => checkOp({ inputs: [[1024, 3]], op: (x) => sum(x, 0, true), reference: sumAxis([1024, 3], 0), shape: [1, 3] }),
  },
  ...andOnGpu([
    ...[
      { why: "a prime count of rows, cut", shape: [1031, 3], axis: 0 },
      { why: "vectors, cut", shape: [1031, 8], axis: 0 },
      { why: "a middle axis, cut", shape: [3, 331, 4], axis: 1 },
      { why: "a middle axis, cut, single elements", shape: [2, 1031, 3], axis: 1 },
      { why: "rows of vectors", shape: [3, 132], axis: 1 },
      { why: "long rows", shape: [2, 4099], axis: 1 },
      { why: "long rows of vectors", shape: [2, 4100], axis: 1 },
      { why: "more rows than a workgroup has threads", shape: [67, 12], axis: 1 },
      { why: "a row for several workgroups", shape: [1, 70001], axis: 1 },
      { why: "rows of vectors for several workgroups", shape: [2, 40004], axis: 1 },
    ].map(
      ({ why, shape, axis }): Case => ({
        name: `sum: ${why}`,
        run: () =>
          checkOp({ inputs: [shape], op: (x) => sum(x, axis), reference: sumAxis(shape, axis), shape: shape.filter((_, i) => i !== axis) }),
      }),
    ),
    {
      name: "mean: rows longer than a workgroup",
      run: () =>
        checkOp({ inputs: [[3, 131]], op: (x) => mean(x, -1), reference: (x) => sumAxis([3, 131], 1)(x).map((v) => v / 131), shape: [3] }),
    },
  ]),
];
