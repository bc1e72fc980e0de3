import { gradients } from "../../engine/autograd.ts";
import { getDevice } from "../../engine/device.ts";
import { record } from "../../engine/plan.ts";
import { Tensor } from "../../engine/tensor.ts";
import { concat, expand, permute, reshape, slice } from "../../kernels/movement.ts";
import { checkOp, refuses, uniform, type Case } from "../check.ts";
import { concatReference, expandReference, permuteReference, sliceReference } from "../reference/movement.ts";

const zeros = (...shape: number[]) => Tensor.zeros(shape);

export const cases: Case[] = [
  {
    name: "reshape: values and gradient stay in order",
    run: () => checkOp({ inputs: [[3, 4, 5]], op: (x) => reshape(x, [5, 12]), reference: (x) => x, shape: [5, 12] }),
  },
  {
    name: "reshape: no launch",
    async run() {
      const x = Tensor.from(uniform(12, 1), [3, 4]);
      const before = getDevice().stats.launches;
      const y = reshape(x, [12]);
      if (getDevice().stats.launches !== before || y.storage !== x.storage) throw new Error("expected a view");
      await refuses(() => reshape(x, [5, 2]), /reshape: expected 10 values for \[5,2\], got 12/);
      x.dispose();
    },
  },
  ...[
    { why: "odd sizes, all axes move", shape: [2, 3, 5, 7], axes: [3, 1, 0, 2] },
    { why: "heads before tokens: rows of whole vectors", shape: [2, 5, 3, 8], axes: [0, 2, 1, 3] },
    { why: "q, k and v of heads apart", shape: [2, 5, 3, 2, 4], axes: [2, 0, 3, 1, 4] },
    { why: "a transpose, just over a workgroup", shape: [5, 13], axes: [1, 0] },
    { why: "a cycle that is not its own inverse", shape: [4, 3, 8], axes: [1, 2, 0] },
    { why: "only axes of length 1 move", shape: [1, 6, 1], axes: [2, 0, 1] },
    { why: "one element", shape: [1, 1], axes: [1, 0] },
  ].map(({ why, shape, axes }) => ({
    name: `permute: ${why}`,
    run: () =>
      checkOp({
        inputs: [shape],
        op: (x) => permute(x, axes),
        reference: permuteReference(shape, axes),
        shape: axes.map((a) => shape[a]!),
      }),
  })),
  {
    name: "permute: refuses an axis twice or out of range",
    async run() {
      await refuses(() => permute(zeros(2, 3), [0, 0]), /permute: expected each of 2 axes once for x \[2,3\], got \[0,0\]/);
      await refuses(() => permute(zeros(2, 3), [0]), /permute: expected each of 2 axes once/);
      await refuses(() => permute(zeros(2, 3), [0, 2]), /permute: expected an axis in \[-2, 1\], got 2/);
    },
  },
  ...[
    { why: "the first tokens, rows of whole vectors", shape: [3, 7, 8], axis: 1, start: 0, end: 2 },
    { why: "a token in the middle", shape: [3, 7, 8], axis: 1, start: 1, end: 2 },
    { why: "the end of an odd last axis", shape: [5, 7], axis: 1, start: 3, end: 7 },
    { why: "a vector's worth, not at a vector's start", shape: [5, 12], axis: 1, start: 2, end: 6 },
    { why: "the first axis", shape: [67, 3], axis: 0, start: 1, end: 66 },
  ].map(({ why, shape, axis, start, end }) => ({
    name: `slice: ${why}`,
    run: () =>
      checkOp({
        inputs: [shape],
        op: (x) => slice(x, axis, start, end),
        reference: sliceReference(shape, axis, start, end),
        shape: shape.with(axis, end - start),
      }),
  })),
  {
    name: "slice: refuses an empty range and one past the end",
    async run() {
      await refuses(() => slice(zeros(2, 3), 1, 2, 2), /slice: expected 0 <= start < end <= 3 for axis 1 of x \[2,3\], got 2 and 2/);
      await refuses(() => slice(zeros(2, 3), -1, 1, 4), /slice: expected 0 <= start < end <= 3/);
    },
  },
  ...[
    {
      why: "class and distillation tokens before patches",
      shapes: [
        [3, 1, 8],
        [3, 1, 8],
        [3, 5, 8],
      ],
      axis: 1,
    },
    {
      why: "odd widths on the last axis",
      shapes: [
        [5, 3],
        [5, 1],
        [5, 7],
      ],
      axis: 1,
    },
    {
      why: "the first axis",
      shapes: [
        [2, 33],
        [1, 33],
      ],
      axis: 0,
    },
    { why: "more than fit in one launch", shapes: Array.from({ length: 16 }, (_, k) => [2, (k % 3) + 1]), axis: 1 },
  ].map(({ why, shapes, axis }) => ({
    name: `concat: ${why}`,
    run: () => checkOp({ inputs: shapes, op: (...parts) => concat(parts, axis), reference: concatReference(shapes, axis) }),
  })),
  {
    name: "concat: refuses shapes that differ elsewhere",
    async run() {
      await refuses(() => concat([zeros(2, 3), zeros(4, 3)], 1), /concat: expected \[2,3\] but for axis 1, got \[4,3\]/);
      await refuses(() => concat([zeros(2, 3), zeros(2)], 0), /concat: expected \[2,3\] but for axis 0, got \[2\]/);
      await refuses(() => concat([], 0), /concat: expected at least one tensor/);
    },
  },
  ...[
    { why: "a token over the batch", shape: [1, 1, 8], to: [5, 1, 8] },
    { why: "a middle axis and a new one", shape: [3, 1, 5], to: [2, 3, 4, 5] },
    { why: "the last axis, just over a workgroup", shape: [5, 1], to: [5, 13] },
    { why: "one element", shape: [1], to: [70] },
  ].map(({ why, shape, to }) => ({
    name: `expand: ${why}`,
    run: () => checkOp({ inputs: [shape], op: (x) => expand(x, to), reference: expandReference(shape, to), shape: to }),
  })),
  {
    name: "expand: refuses a shape that x does not broadcast to",
    run: () => refuses(() => expand(zeros(3, 1), [1, 4]), /expand: expected a shape that x \[3,1\] broadcasts to, got \[1,4\]/),
  },
  {
    name: "layout: another batch size needs no new pipeline",
    async run() {
      const step = (B: number) => {
        const x = Tensor.from(uniform(B * 60, 1), [B, 5, 3, 4]);
        x.requiresGrad = true;
        const y = concat([slice(permute(x, [0, 2, 1, 3]), 1, 0, 2), expand(slice(permute(x, [0, 2, 1, 3]), 1, 2, 3), [B, 3, 5, 4])], 1);
        return gradients(y, [x], y);
      };
      for (const t of step(2)) t.dispose();
      const before = getDevice().stats.pipelinesCreated;
      for (const t of step(3)) t.dispose();
      if (getDevice().stats.pipelinesCreated !== before)
        throw new Error(`expected no new pipeline, got ${getDevice().stats.pipelinesCreated - before}`);
    },
  },
  {
    name: "layout: a recording gives what running at once gives",
    async run() {
      const x = Tensor.from(uniform(70, 1), [2, 5, 7]);
      x.requiresGrad = true;
      const step = () => {
        const y = concat([slice(permute(x, [0, 2, 1]), 2, 1, 3), expand(reshape(slice(x, 1, 0, 1), [2, 7, 1]), [2, 7, 3])], 2);
        return [y, ...gradients(y, [x], y)];
      };
      const plan = await record(step);
      plan.run();
      const direct = step();
      for (const [i, t] of direct.entries()) {
        const [a, b] = [String(await plan.result[i]!.floats()), String(await t.floats())];
        if (a !== b) throw new Error(`expected ${b}, got ${a}`);
      }
      plan.dispose();
      for (const t of [x, ...direct]) t.dispose();
    },
  },
];
