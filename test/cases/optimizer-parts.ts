/** What stands beside an optimizer's rule does its part: the moving average, sums of gradients, their norm, and the guard against NaN. */
import { constant } from "../../kernels/shared/scalars.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { accumulate } from "../../kernels/optim/accumulate.ts";
import { adamwStep } from "../../kernels/optim/adamw.ts";
import { emaStep } from "../../kernels/optim/ema.ts";
import { FLAT_BLOCK } from "../../kernels/optim/flat-block.ts";
import { gradNorm } from "../../kernels/optim/grad-norm.ts";
import { lambStep } from "../../kernels/optim/lamb.ts";
import { sgdStep } from "../../kernels/optim/sgd.ts";
import { close, refuses, type Case, type Values } from "../../checks/check.ts";
import { toF16 } from "../../models/half.ts";
import golden from "../golden/optimizers.json" with { type: "json" };
import { at, from, near, optimizerScalars, same, values, zeros } from "../optimizer-checks.ts";

/** One guarded update of each rule. Returns parameters and state before and after. */
async function guarded(grads: Values): Promise<{ before: string; after: string }[]> {
  const n = grads.length;
  const scalars = optimizerScalars();
  scalars.set({ lr: 0.1, bias1: 0.1, bias2: 0.001 });
  const state = Array.from({ length: 6 }, (_, i) => from(values(n, i + 1).map(Math.abs)));
  const [wa, m, v, ws, momentum, ema] = state as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
  const before = (await readAll(state)).map(String);
  const g = from(grads);
  const finite = gradNorm([g]);
  adamwStep({ params: wa, grads: g, m, v }, { decayed: 4, weightDecay: 0.1, finite, clip: 1, ...at(scalars) });
  sgdStep({ params: ws, grads: g, momentum }, { decayed: 4, weightDecay: 0.1, finite, lr: scalars.at("lr") });
  emaStep({ ema, params: g }, { decay: constant(0.5), finite });
  return (await readAll(state)).map((after, i) => ({ before: before[i]!, after: String(after) }));
}

/** An update of each rule from gradients times `scale`, clipped. Returns the bits of all parameters and states, and copies in f16. */
async function updated(scale: number, halves: boolean): Promise<{ bits: string[]; params: Float32Array[]; copies: Uint16Array[] }> {
  const n = 3 * FLAT_BLOCK;
  const scalars = optimizerScalars();
  scalars.set({ lr: 0.1, bias1: 0.1, bias2: 0.001 });
  const state = Array.from({ length: 8 }, (_, i) => from(values(n, i + 1).map(Math.abs)));
  const [wa, ma, va, ws, momentum, wl, ml, vl] = state as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
  const copies = halves ? [0, 1, 2].map(() => Tensor.zeros([n], "f16")) : [];
  const [ha, hs, hl] = copies;
  const grads = from(values(n, 9, scale));
  const common = { decayed: FLAT_BLOCK, weightDecay: 0.1, finite: gradNorm([grads], from([scale]).view([])), clip: 0.5 };
  adamwStep({ params: wa, grads, m: ma, v: va, half: ha }, { ...common, ...at(scalars) });
  sgdStep({ params: ws, grads, momentum, half: hs }, { ...common, lr: scalars.at("lr") });
  const [segments, owners] = [Tensor.from([0, n], [1, 2], "u32"), Tensor.from([0, 0, 0], [3], "u32")];
  lambStep({ params: wl, grads, m: ml, v: vl, half: hl }, { ...common, ...at(scalars), segments, owners });
  const read = (await readAll([common.finite, ...state, ...copies])) as Float32Array[];
  const [norm, ...after] = read;
  return {
    bits: [norm!.subarray(0, 2), ...after.slice(0, state.length)].map(String),
    params: [0, 3, 5].map((i) => after[i]!),
    copies: after.slice(state.length) as unknown as Uint16Array[],
  };
}

export const cases: Case[] = [
  {
    name: "ema: as recorded",
    async run() {
      const { decay, start, model, average } = golden.ema;
      const values1 = (state: Record<string, readonly (number | readonly number[])[]>) => Object.values(state).flatMap((v) => v.flat());
      const pad = (v: readonly number[]) => [...v, ...new Array<number>(-v.length & 3).fill(0)];
      const ema = from(pad(values1(start)));
      for (const [step, params] of model.entries()) {
        emaStep({ ema, params: from(pad(values1(params))) }, { decay: constant(decay) });
        near(`step ${step}`, (await ema.floats()).subarray(0, values1(start).length), values1(average[step]!));
      }
    },
  },
  {
    name: "ema: equal values stay as they are, decay 0 copies, refuses other lengths",
    async run() {
      const [a, b] = [values(260, 1), values(260, 2)];
      const ema = from(a);
      emaStep({ ema, params: from(a) }, { decay: constant(0.99996) });
      same("equal", await ema.floats(), Float32Array.from(a));
      emaStep({ ema, params: from(b) }, { decay: constant(0) });
      near("copy", await ema.floats(), b, 1e-7);
      await refuses(
        () => emaStep({ ema: zeros(4), params: zeros(8) }, { decay: constant(0) }),
        /ema: expected an average \[8\] like the parameters, got \[4\]/,
      );
    },
  },
  {
    name: "accumulate: begins anew whatever was there, then adds shares; refuses other lengths",
    async run() {
      const [a, b] = [values(260, 1), values(260, 2)];
      const sum = from(new Float32Array(260).fill(NaN));
      accumulate({ sum, g: from(a) }, { keep: constant(0), share: 0.25 });
      accumulate({ sum, g: from(b) }, { keep: constant(1), share: 0.25 });
      near(
        "sum",
        await sum.floats(),
        a.map((x, i) => 0.25 * (x + b[i]!)),
      );
      await refuses(
        () => accumulate({ sum: zeros(4), g: zeros(8) }, { keep: constant(0), share: 1 }),
        /accumulate: expected two buffers of one length, a multiple of 4, got \[4\] and \[8\]/,
      );
    },
  },
  ...[
    { why: "one vector", n: 4 },
    { why: "just over a workgroup", n: 1028 },
    { why: "more than one load of all workgroups", n: 4 * (1024 * 256 + 1) },
    { why: "more than one round of all workgroups", n: 4 * (4 * 1024 * 256 + 1) },
  ].map(({ why, n }) => ({
    name: `gradNorm: ${why}`,
    async run() {
      const x = values(n, 3).with(n - 1, 1000); // the last one counts
      near("norm and flag", await gradNorm([from(x)]).floats(), [Math.sqrt(x.reduce((s, v) => s + v * v, 0)), 1, 1], 1e-6);
    },
  })),
  {
    name: "gradNorm: sees a value that is not finite wherever it is, and leaves it out",
    async run() {
      const n = 1028;
      const norm = Math.sqrt(n - 1);
      for (const bad of [NaN, Infinity, -Infinity]) {
        for (const i of [0, 3, 514, 1027])
          near(`${bad} at ${i}`, await gradNorm([from(new Float32Array(n).fill(1).fill(bad, i, i + 1))]).floats(), [norm, 0, 1]);
      }
      near("all", await gradNorm([from(new Float32Array(8).fill(NaN))]).floats(), [0, 0, 1]);
    },
  },
  {
    name: "gradNorm: values near both ends of f32",
    async run() {
      near("zeros", await gradNorm([zeros(8)]).floats(), [0, 1, 1], 0);
      near(
        "large",
        await gradNorm([from([1e18, 0, 0, 0])])
          .floats()
          .then((y) => [y[0]! / 1e18, y[1]!]),
        [1, 1],
      );
      close("overflow", (await gradNorm([from([3e38, 3e38, 0, 1])]).floats())[1]!, 0, 0);
      await refuses(() => gradNorm([zeros(6)]), /gradNorm: expected a multiple of 4 elements, got \[6\]/);
    },
  },
  {
    name: "optimizers: gradients of a scaled loss make the bits that unscaled ones make, and their norm",
    async run() {
      const plain = await updated(1, false);
      for (const scale of [1024, 2 ** -10]) {
        const { bits } = await updated(scale, false);
        bits.forEach((bit, i) => same(`scale ${scale}, buffer ${i}`, bit, plain.bits[i]));
      }
    },
  },
  {
    name: "optimizers: a copy in f16 is the parameters rounded, whose own bits it does not change",
    needs: ["shader-f16"],
    async run() {
      const { bits, params, copies } = await updated(1, true);
      (await updated(1, false)).bits.forEach((bit, i) => same(`buffer ${i}`, bits[i], bit));
      params.forEach((values, i) => same(`copy ${i}`, copies[i], toF16("params", values)));
    },
  },
  {
    name: "optimizers: gradients that are not finite change nothing, others change everything",
    async run() {
      const good = values(132, 9);
      for (const { before, after } of await guarded(good)) if (before === after) throw new Error("expected an update, got none");
      for (const bad of [NaN, Infinity]) {
        for (const [i, { before, after }] of (await guarded(good.with(131, bad))).entries()) same(`buffer ${i}`, after, before);
      }
    },
  },
];
