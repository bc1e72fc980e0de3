/** The engine's promises: replays create nothing, memory is shared and given back, gradients meet, stale plans are refused. */
import { gradients, noGrad } from "../../engine/autograd.ts";
import { getDevice } from "../../engine/device.ts";
import { defineKernel } from "../../engine/kernel.ts";
import { trimPool } from "../../engine/launch.ts";
import { keep, scope } from "../../engine/memory.ts";
import { record } from "../../engine/plan.ts";
import { place } from "../../kernels/shared/place.ts";
import { philox, philoxWgsl } from "../../kernels/shared/random.ts";
import { Scalars } from "../../kernels/shared/scalars.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { add, mul, relu, sigmoid } from "../../kernels/elementwise.ts";
import { sum } from "../../kernels/shared/reduce.ts";
import { refuses, uniform, type Case } from "../check.ts";

function equal(what: string, got: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(got), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: expected ${b}, got ${a}`);
}

const values = (n: number, seed = 1): Float32Array => Float32Array.from(uniform(n, seed));

const philoxKernel = defineKernel({
  name: "test.philox",
  outputs: { y: "u32" },
  workgroup: 64,
  helpers: philoxWgsl,
  code: /* wgsl */ `
    let r = philox(vec4u(li, 1u, 2u, 3u), vec2u(0xdeadbeefu, li * 7u));
    y[li * 4u] = r.x; y[li * 4u + 1u] = r.y; y[li * 4u + 2u] = r.z; y[li * 4u + 3u] = r.w;`,
});

const countKernel = defineKernel({
  name: "test.count",
  outputs: { y: "f32" },
  params: { n: "u32" },
  workgroup: 1,
  code: "if (group < p.n) { y[group] = f32(group); }",
});

const badKernel = defineKernel({ name: "test.bad", outputs: { y: "f32" }, workgroup: 1, code: "y[0] = undeclared_name;" });

const scalarKernel = defineKernel({
  name: "test.scalar",
  inputs: { scalars: "u32" },
  outputs: { y: "f32" },
  constants: { AT: "u32" },
  workgroup: 1,
  code: "y[0] = bitcast<f32>(scalars[AT]) * 2.0;",
});

export const cases: Case[] = [
  {
    name: "record: a replay gives what running at once gives, and follows new inputs",
    async run() {
      const x = Tensor.from(values(100), [100]);
      const step = () => ({ y: sum(mul(relu(x), x)) });
      const plan = await record(step);
      for (const seed of [1, 2]) {
        x.write(values(100, seed));
        plan.run();
        const direct = scope(step);
        equal("y", await plan.result.y.item(), await direct.y.item());
        direct.y.dispose();
      }
      plan.dispose();
      x.dispose();
    },
  },
  {
    name: "record: a replay creates no buffer, bind group or pipeline, in one submit",
    async run() {
      const x = Tensor.from(values(64), [64]);
      const plan = await record(() => sum(sigmoid(mul(x, x))));
      for (let timed = 0; timed < 2; timed++) {
        plan.run();
        await plan.idle();
      }
      const before = { ...getDevice().stats };
      plan.run();
      const after = getDevice().stats;
      equal(
        "created",
        [
          after.buffersCreated - before.buffersCreated,
          after.bindGroupsCreated - before.bindGroupsCreated,
          after.pipelinesCreated - before.pipelinesCreated,
        ],
        [0, 0, 0],
      );
      equal("submits", after.submits - before.submits, 1);
      equal("launches", after.launches - before.launches, plan.launches);
      plan.dispose();
      x.dispose();
    },
  },
  {
    name: "record: what waits to be submitted may read a plan's result that is disposed of meanwhile",
    async run() {
      const x = Tensor.from(values(64), [64]);
      const plan = await record(() => sigmoid(x));
      plan.run();
      const expected = await scope(() => sigmoid(sigmoid(x))).floats();
      const y = sigmoid(plan.result);
      plan.dispose();
      equal("y", await y.floats(), expected);
      for (const t of [x, y]) t.dispose();
    },
  },
  {
    name: "memory: what waits to be submitted may read a tensor whose buffer the pool gives up meanwhile",
    async run() {
      const x = Tensor.from(values(64), [64]);
      const expected = await scope(() => sigmoid(x)).floats();
      const y = sigmoid(x);
      x.dispose();
      trimPool();
      equal("y", await y.floats(), expected);
      y.dispose();
    },
  },
  {
    name: "record: launches that nobody needs are dropped, and tensors share memory",
    async run() {
      const x = Tensor.from(values(1024), [1024]);
      const plan = await record(() => {
        sigmoid(x); // dead
        let y = x;
        for (let i = 0; i < 10; i++) y = relu(y);
        return y;
      });
      equal("launches", plan.launches, 10);
      if (plan.bytes > 3 * 4096) throw new Error(`bytes: expected at most ${3 * 4096} for a chain, got ${plan.bytes}`);
      plan.dispose();
      x.dispose();
    },
  },
  {
    name: "record: a plan whose input was freed is refused",
    async run() {
      const x = Tensor.from(values(8), [8]);
      const plan = await record(() => relu(x));
      x.dispose();
      await refuses(() => plan.run(), /expected the tensors it was recorded with/);
      plan.dispose();
      await refuses(() => plan.run(), /disposed/);
    },
  },
  {
    name: "record: what is only in a recording cannot be read or written",
    async run() {
      const x = Tensor.from(values(8), [8]);
      let inner: Tensor | undefined;
      const plan = await record(() => {
        inner = relu(x);
        return sum(inner);
      });
      await refuses(() => inner!.read(), /expected/);
      await refuses(() => record(() => x.write(values(8))), /outside a recording/);
      await refuses(() => record(() => Promise.resolve()), /synchronous/);
      plan.dispose();
      x.dispose();
    },
  },
  {
    name: "place: a gradient is written straight into its place, without a copy",
    async run() {
      const x = Tensor.from(values(64), [64]);
      x.requiresGrad = true;
      const flat = Tensor.zeros([128]);
      const target = new Tensor([64], "f32", flat.storage, 256);
      const plan = await record(() => place(gradients(sum(mul(x, x)), [x])[0]!, target));
      if (plan.kernels.includes("place.copy")) throw new Error(`expected no copy, got ${plan.kernels}`);
      plan.run();
      const got = await flat.floats();
      equal(
        "gradient",
        [...got.subarray(64)],
        [...values(64)].map((v) => Math.fround(v + v)),
      );
      equal("before it", [...got.subarray(0, 64)], new Array(64).fill(0));
      plan.dispose();
      for (const t of [x, flat]) t.dispose();
    },
  },
  {
    name: "place: one gradient wanted in two places is copied for the second",
    async run() {
      const [a, b] = [Tensor.from(values(64), [64]), Tensor.from(values(64, 2), [64])];
      a.requiresGrad = b.requiresGrad = true;
      const flat = Tensor.zeros([128]);
      const plan = await record(() => {
        const [da, db] = gradients(sum(relu(add(a, b))), [a, b]);
        place(da!, new Tensor([64], "f32", flat.storage, 0));
        place(db!, new Tensor([64], "f32", flat.storage, 256));
      });
      plan.run();
      const got = await flat.floats();
      equal("second", [...got.subarray(64)], [...got.subarray(0, 64)]);
      if (!got.some((v) => v === 1)) throw new Error("expected some gradients of 1, got none");
      plan.dispose();
      for (const t of [a, b, flat]) t.dispose();
    },
  },
  {
    name: "scope: 1,000 steps leave bytes live unchanged",
    async run() {
      const { stats } = getDevice();
      const x = Tensor.from(values(256), [256]);
      x.requiresGrad = true;
      const step = () =>
        scope(() => {
          gradients(sum(mul(sigmoid(x), x)), [x]);
        });
      step();
      const before = { ...stats };
      for (let i = 0; i < 1000; i++) step();
      equal("bytesLive", stats.bytesLive, before.bytesLive);
      equal("tensorsLive", stats.tensorsLive, before.tensorsLive);
      equal("buffersCreated", stats.buffersCreated, before.buffersCreated);
      await x.read();
      x.dispose();
    },
  },
  {
    name: "scope: results and kept tensors survive, others are refused by name",
    async run() {
      let lost: Tensor | undefined;
      let kept: Tensor | undefined;
      const x = Tensor.from([1, -2], [2]);
      const y = scope(() => {
        lost = relu(x);
        kept = keep(sigmoid(x));
        return { list: [relu(lost)] };
      });
      equal("result", [...(await y.list[0]!.floats())], [1, 0]);
      await kept!.read();
      await refuses(() => lost!.read(), /scope has ended/);
      await refuses(() => relu(lost!), /relu.forward: expected a live tensor/);
      for (const t of [x, kept!, ...y.list]) t.dispose();
    },
  },
  {
    name: "gradients: those that meet are added; noGrad and detach cut",
    async run() {
      const x = Tensor.from([3], [1]);
      x.requiresGrad = true;
      const [dx] = gradients(add(mul(x, x), x), [x]);
      equal("2x + 1", await dx!.item(), 7);
      const [dcut] = gradients(mul(x, x.detach()), [x]);
      equal("detached", await dcut!.item(), 3);
      equal("noGrad", noGrad(() => mul(x, x)).requiresGrad, false);
      const other = Tensor.from([1, 2], [2]);
      other.requiresGrad = true;
      const [dother] = gradients(mul(x, x), [other]);
      equal("unreached", [...(await dother!.floats())], [0, 0]);
      await refuses(() => gradients(mul(x, other), [x]), /gradients: expected dy/);
      await refuses(
        () =>
          gradients(
            noGrad(() => mul(x, x)),
            [x],
          ),
        /requiresGrad/,
      );
    },
  },
  {
    name: "kernel: more workgroups than one dimension holds",
    async run() {
      const n = 70_001;
      const { y } = countKernel({ outputs: { y: [n] }, params: { n }, groups: n });
      const got = await y.floats();
      for (let i = 0; i < n; i++) if (got[i] !== i) throw new Error(`y[${i}]: expected ${i}, got ${got[i]}`);
      y.dispose();
    },
  },
  {
    name: "kernel: WGSL that does not compile is named, with line and column",
    async run() {
      await refuses(async () => {
        await badKernel({ outputs: { y: [1] }, groups: 1 }).y.read();
      }, /test\.bad: WGSL \d+:\d+: .*undeclared_name/);
    },
  },
  {
    name: "tensor: refuses wrong lengths, empty shapes, too many bytes and wrong dtypes",
    async run() {
      await refuses(() => Tensor.from([1, 2], [3]), /Tensor\.from: expected 3 values for shape \[3\], got 2/);
      await refuses(() => Tensor.zeros([0, 3]), /expected a shape of positive integers, got \[0,3\]/);
      await refuses(() => Tensor.zeros([2 ** 20, 2 ** 20]), /expected at most \d+ bytes/);
      await refuses(() => relu(Tensor.zeros([4], "u32")), /relu\.forward: expected f32 or f16 for xs, got u32/);
    },
  },
  {
    name: "random: Philox gives the same bits in WGSL and in TypeScript",
    async run() {
      const { y } = philoxKernel({ outputs: { y: [256] }, groups: 1 });
      const expected = Array.from({ length: 64 }, (_, i) => philox([i, 1, 2, 3], [0xdeadbeef, i * 7])).flat();
      equal("bits", [...(await y.read())], expected);
      // The published test vector of Philox4x32-10 for counter and key 0.
      equal(
        "known answer",
        philox([0, 0, 0, 0], [0, 0]).map((v) => v.toString(16)),
        ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"],
      );
      y.dispose();
    },
  },
  {
    name: "scalars: a plan follows them without being recorded anew",
    async run() {
      const s = new Scalars({ lr: "f32", step: "u32" });
      const plan = await record(
        () => scalarKernel({ inputs: { scalars: s.tensor }, outputs: { y: [1] }, constants: { AT: s.at("lr").at }, groups: 1 }).y,
      );
      for (const lr of [0.5, 3]) {
        s.set({ lr });
        plan.run();
        equal("y", await plan.result.item(), 2 * lr);
      }
      await refuses(() => s.set({ lr: NaN }), /finite/);
      plan.dispose();
    },
  },
  {
    name: "read: several tensors in one submit, u8 of odd length",
    async run() {
      const a = Tensor.from([1, 2, 3], [3], "u8");
      const b = Tensor.from([4.5], [1]);
      equal(
        "values",
        (await readAll([a, b])).map((v) => [...v]),
        [[1, 2, 3], [4.5]],
      );
    },
  },
];
