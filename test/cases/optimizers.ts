import { record } from "../../engine/plan.ts";
import { constant, Scalars, type Scalar } from "../../engine/scalars.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { accumulate } from "../../kernels/optim/accumulate.ts";
import { adamwStep } from "../../kernels/optim/adamw.ts";
import { emaStep } from "../../kernels/optim/ema.ts";
import { gradNorm } from "../../kernels/optim/grad-norm.ts";
import { FLAT_BLOCK } from "../../kernels/optim/flat-block.ts";
import { lambStep } from "../../kernels/optim/lamb.ts";
import { sgdStep } from "../../kernels/optim/sgd.ts";
import { close, refuses, uniform, type Case, type Values } from "../../checks/check.ts";
import golden from "../golden/optimizers.json" with { type: "json" };
import { adamw, sgd } from "../../checks/reference/optimizers.ts";

const from = (values: Values) => Tensor.from(values, [values.length]);
const zeros = (n: number) => Tensor.zeros([n]);
const values = (n: number, seed: number, by = 1) => uniform(n, seed).map((v) => Math.fround(by * v));
const optimizerScalars = () => new Scalars({ unused: "u32", lr: "f32", bias1: "f32", bias2: "f32" });
const at = (s: { at(name: "lr" | "bias1" | "bias2"): Scalar }) => ({ lr: s.at("lr"), bias1: s.at("bias1"), bias2: s.at("bias2") });

function near(what: string, got: Values, expected: Values, tol = 1e-6): void {
  if (got.length !== expected.length) throw new Error(`${what}: expected ${expected.length} values, got ${got.length}`);
  for (let i = 0; i < expected.length; i++) close(`${what}[${i}]`, got[i]!, expected[i]!, tol * (1 + Math.abs(expected[i]!)));
}

function same(what: string, got: unknown, expected: unknown): void {
  if (String(got) !== String(expected))
    throw new Error(`${what}: expected ${String(expected).slice(0, 200)}, got ${String(got).slice(0, 200)}`);
}

type Recorded = Record<"weight" | "bias", readonly (number | readonly number[])[]>;
const flat = ({ weight, bias }: Recorded): number[] => [...weight.flat(), ...bias.flat()];

/** `count` steps of AdamW on n elements against the reference. */
async function checkAdamw(
  n: number,
  decayed: number,
  o: { lr: number; decay: number; beta1?: number; beta2?: number; eps?: number },
  tol = 1e-6,
): Promise<void> {
  const [start, params, m, v] = [values(n, 1), from(values(n, 1)), zeros(n), zeros(n)];
  const expected = Array.from(start, (w) => ({ w, m: 0, v: 0 }));
  const scalars = optimizerScalars();
  const { decay: weightDecay, lr, ...rest } = o;
  for (let t = 1; t <= 3; t++) {
    const grads = values(n, 10 + t, 10 ** (1 - t));
    scalars.set({ lr, bias1: 1 - (o.beta1 ?? 0.9) ** t, bias2: 1 - (o.beta2 ?? 0.999) ** t });
    adamwStep({ params, grads: from(grads), m, v }, { decayed, weightDecay, ...rest, ...at(scalars) });
    expected.forEach((s, i) => Object.assign(s, adamw(s, grads[i]!, t, { ...o, decay: i < decayed ? o.decay : 0 })));
  }
  const [w1, m1, v1] = await readAll([params, m, v]);
  near(
    "params",
    w1!,
    expected.map((s) => s.w),
    tol,
  );
  near(
    "m",
    m1!,
    expected.map((s) => s.m),
    tol,
  );
  expected.forEach((s, i) => close(`v[${i}]`, v1![i]!, s.v, 2e-6 * s.v + 1e-12)); // small next to 1, so relative
}

/** One guarded update of each rule. Returns parameters and state before and after. */
async function guarded(grads: Values): Promise<{ before: string; after: string }[]> {
  const n = grads.length;
  const scalars = optimizerScalars();
  scalars.set({ lr: 0.1, bias1: 0.1, bias2: 0.001 });
  const state = Array.from({ length: 6 }, (_, i) => from(values(n, i + 1).map(Math.abs)));
  const [wa, m, v, ws, momentum, ema] = state as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
  const before = (await readAll(state)).map(String);
  const g = from(grads);
  const finite = gradNorm(g);
  adamwStep({ params: wa, grads: g, m, v }, { decayed: 4, weightDecay: 0.1, finite, clip: 1, ...at(scalars) });
  sgdStep({ params: ws, grads: g, momentum }, { decayed: 4, weightDecay: 0.1, finite, lr: scalars.at("lr") });
  emaStep({ ema, params: g }, { decay: constant(0.5), finite });
  return (await readAll(state)).map((after, i) => ({ before: before[i]!, after: String(after) }));
}

export const cases: Case[] = [
  ...golden.adamw.map((run) => ({
    name: `adamw: as recorded, ${JSON.stringify({ lr: run.lr, decay: run.weight_decay, betas: run.betas, halving: run.lrPerStep !== undefined })}`,
    async run() {
      const params = from(flat(golden.start as Recorded));
      const [m, v] = [zeros(params.size), zeros(params.size)];
      const [beta1, beta2] = (run.betas ?? [0.9, 0.999]) as [number, number];
      const scalars = optimizerScalars();
      for (const [step, grads] of golden.gradients.entries()) {
        scalars.set({ lr: run.lrPerStep?.[step] ?? run.lr, bias1: 1 - beta1 ** (step + 1), bias2: 1 - beta2 ** (step + 1) });
        adamwStep(
          { params, grads: from(flat(grads as Recorded)), m, v },
          { decayed: 12, weightDecay: run.weight_decay, beta1, beta2, eps: run.eps ?? 1e-8, ...at(scalars) },
        );
        near(`step ${step}`, await params.floats(), flat(run.after[step] as Recorded));
      }
    },
  })),
  {
    name: "adamw: three steps that can be checked by hand",
    async run() {
      const [params, m, v, scalars] = [from([1, -2, 0.5, 0]), zeros(4), zeros(4), optimizerScalars()];
      const expected = [
        [0.99895, -1.99889994, 0.49897501],
        [0.9979679, -1.99916601, 0.4990027],
        [0.99812436, -1.99948168, 0.49901843],
      ];
      for (const [step, grads] of [
        [0.1, -0.2, 0.3, 0],
        [0.05, 0.4, -0.3, 0],
        [-0.2, 0.1, 0, 0],
      ].entries()) {
        scalars.set({ lr: 1e-3, bias1: 1 - 0.9 ** (step + 1), bias2: 1 - 0.999 ** (step + 1) });
        adamwStep({ params, grads: from(grads), m, v }, { decayed: 4, weightDecay: 0.05, ...at(scalars) });
        near(`step ${step}`, (await params.floats()).subarray(0, 3), expected[step]!, 1e-7);
      }
    },
  },
  { name: "adamw: one vector, all decayed", run: () => checkAdamw(4, 4, { lr: 0.01, decay: 0.05 }) },
  { name: "adamw: just over a workgroup, none decayed", run: () => checkAdamw(260, 0, { lr: 1e-3, decay: 0.05 }) },
  {
    name: "adamw: an odd number of vectors, other betas and eps",
    run: () => checkAdamw(1372, 668, { lr: 0.1, decay: 0.3, beta1: 0.8, beta2: 0.9999, eps: 1e-3 }, 2e-6),
  },
  {
    name: "adamw: a recording follows the learning rate, and repeats bit for bit",
    async run() {
      const scalars = optimizerScalars();
      const start = values(64, 1);
      const [params, grads, m, v] = [from(start), from(values(64, 2)), zeros(64), zeros(64)];
      const plan = await record(() => {
        const norm = gradNorm(grads);
        adamwStep({ params, grads, m, v }, { decayed: 32, weightDecay: 0.05, finite: norm, clip: 0.5, ...at(scalars) });
        return norm;
      });
      const run = async (lrs: readonly number[]) => {
        for (const t of [m, v]) t.write(new Float32Array(64));
        params.write(start);
        for (const [i, lr] of lrs.entries()) {
          scalars.set({ lr, bias1: 1 - 0.9 ** (i + 1), bias2: 1 - 0.999 ** (i + 1) });
          plan.run();
        }
        return String(await params.floats());
      };
      const once = await run([0.1, 0.01]);
      same("again", await run([0.1, 0.01]), once);
      if ((await run([0.1, 0.02])) === once) throw new Error("expected another rate to give other parameters");
      same("no rate", await run([0, 0]), String(Float32Array.from(start)));
      plan.dispose();
    },
  },
  {
    name: "adamw: with a moving average in the same launch, bit for bit what two launches make",
    async run() {
      const n = 1036;
      const scalars = new Scalars({ lr: "f32", bias1: "f32", bias2: "f32", emaDecay: "f32" });
      scalars.set({ lr: 0.1, bias1: 0.1, bias2: 0.001, emaDecay: 0.9 });
      const made = () =>
        Array.from({ length: 5 }, (_, i) => from(values(n, i + 1).map(Math.abs))) as [Tensor, Tensor, Tensor, Tensor, Tensor];
      const o = { decayed: 400, weightDecay: 0.1, ...at(scalars) };
      const [params, grads, m, v, ema] = made();
      adamwStep({ params, grads, m, v, ema }, { ...o, emaDecay: scalars.at("emaDecay") });
      const [params2, , m2, v2, ema2] = made();
      adamwStep({ params: params2, grads, m: m2, v: v2 }, o);
      emaStep({ ema: ema2, params: params2 }, { decay: scalars.at("emaDecay") });
      const [one, two] = [await readAll([params, m, v, ema]), await readAll([params2, m2, v2, ema2])];
      one.forEach((got, i) => same(["params", "m", "v", "ema"][i]!, got as Float32Array, two[i] as Float32Array));
      await refuses(() => adamwStep({ params, grads, m, v, ema }, o), /adamw: expected ema and emaDecay together, got ema alone/);
      await refuses(
        () => adamwStep({ params, grads, m, v, ema }, { ...o, emaDecay: constant(0.9) }),
        /adamw: expected lr, bias1, bias2 and emaDecay in one tensor, got several/,
      );
      await refuses(
        () => adamwStep({ params, grads, m, v, ema: zeros(4) }, { ...o, emaDecay: scalars.at("emaDecay") }),
        /adamw: expected ema \[1036\] like the parameters, got \[4\]/,
      );
    },
  },
  {
    name: "adamw: refuses lengths, scalars and clips that do not fit",
    async run() {
      const o = { decayed: 0, weightDecay: 0, ...at(optimizerScalars()) };
      await refuses(
        () => adamwStep({ params: zeros(8), grads: zeros(4), m: zeros(8), v: zeros(8) }, o),
        /adamw: expected grads \[8\] like the parameters, got \[4\]/,
      );
      await refuses(
        () => adamwStep({ params: zeros(6), grads: zeros(6), m: zeros(6), v: zeros(6) }, o),
        /multiples of 4, got 6 parameters, 0 decayed/,
      );
      await refuses(
        () => adamwStep({ params: zeros(8), grads: zeros(8), m: zeros(8), v: zeros(8) }, { ...o, lr: constant(1) }),
        /lr, bias1 and bias2 in one tensor/,
      );
      await refuses(
        () => adamwStep({ params: zeros(8), grads: zeros(8), m: zeros(8), v: zeros(8) }, { ...o, clip: 1 }),
        /clip together with gradNorm's result, got 1 alone/,
      );
    },
  },
  ...golden.sgd.map((run) => ({
    name: `sgd: as recorded, momentum ${run.momentum}, decay ${run.weight_decay}${run.nesterov ? ", nesterov" : ""}`,
    async run() {
      const params = from(flat(golden.start as Recorded));
      const momentum = zeros(params.size);
      for (const [step, grads] of golden.gradients.entries()) {
        sgdStep(
          { params, grads: from(flat(grads as Recorded)), momentum },
          { decayed: 12, weightDecay: run.weight_decay, momentum: run.momentum, nesterov: run.nesterov, lr: constant(run.lr) },
        );
        near(`step ${step}`, await params.floats(), flat(run.after[step] as Recorded));
      }
    },
  })),
  ...[true, false].map((nesterov) => ({
    name: `sgd: just over a workgroup, clipped${nesterov ? ", nesterov" : ""}`,
    async run() {
      const n = 260,
        clip = 0.5;
      const start = values(n, 1);
      const [params, momentum] = [from(start), zeros(n)];
      const o = { lr: 0.1, momentum: 0.9, nesterov };
      const expected = Array.from(start, (w) => ({ w, u: 0 }));
      for (const step of [0, 1]) {
        const grads = values(n, 5 + step, step === 0 ? 1 : 1e-3); // the second is under the limit already
        const factor = Math.min(1, clip / (Math.hypot(...grads) + 1e-6));
        const g = from(grads);
        sgdStep(
          { params, grads: g, momentum },
          { decayed: 128, weightDecay: 0.1, momentum: o.momentum, nesterov, lr: constant(o.lr), finite: gradNorm(g), clip },
        );
        expected.forEach((s, i) => Object.assign(s, sgd(s, factor * grads[i]!, { ...o, decay: i < 128 ? 0.1 : 0 })));
      }
      near(
        "params",
        await params.floats(),
        expected.map((s) => s.w),
      );
      near(
        "momentum",
        await momentum.floats(),
        expected.map((s) => s.u),
      );
    },
  })),
  ...golden.lamb.map((run) => ({
    name: `lamb: as recorded, ${JSON.stringify({ lr: run.lr, decay: run.weight_decay, clip: run.max_grad_norm, betas: run.betas })}`,
    async run() {
      // Each parameter begins a block of its own; the zeros behind it must neither change nor count.
      const spread = ({ weight, bias }: Recorded) => [
        ...weight.flat(),
        ...new Array<number>(FLAT_BLOCK - 12).fill(0),
        ...bias.flat(),
        ...new Array<number>(FLAT_BLOCK - 4).fill(0),
      ];
      const params = from(spread(golden.start as Recorded));
      const [m, v] = [zeros(params.size), zeros(params.size)];
      const [segments, owners] = [Tensor.from([0, 12, FLAT_BLOCK, 4], [2, 2], "u32"), Tensor.from([0, 1], [2], "u32")];
      const [beta1, beta2] = (run.betas ?? [0.9, 0.999]) as [number, number];
      const scalars = optimizerScalars();
      for (const [step, grads] of golden.gradients.entries()) {
        scalars.set({ lr: run.lr, bias1: 1 - beta1 ** (step + 1), bias2: 1 - beta2 ** (step + 1) });
        const g = from(spread(grads as Recorded));
        lambStep(
          { params, grads: g, m, v },
          {
            decayed: FLAT_BLOCK,
            segments,
            owners,
            weightDecay: run.weight_decay,
            beta1,
            beta2,
            finite: gradNorm(g),
            ...(run.max_grad_norm === null ? {} : { clip: run.max_grad_norm }),
            ...at(scalars),
          },
        );
        near(`step ${step}`, await params.floats(), spread(run.after[step] as Recorded), 2e-6);
      }
    },
  })),
  {
    name: "lamb: a parameter larger than all its workgroups, one of a single element, one of zeros",
    async run() {
      const sizes = [64 * 16 + 65, 1, 70],
        starts = [0, 1152, 1216],
        n = 1344,
        decay = 0.1,
        lr = 0.05;
      const inside = (i: number) => starts.findIndex((s, k) => i >= s && i < s + sizes[k]!);
      const w = values(n, 1).map((x, i) => (inside(i) < 0 || inside(i) === 2 ? 0 : x));
      const g = values(n, 2).map((x, i) => (inside(i) < 0 ? 0 : x));
      const [params, grads, m, v] = [from(w), from(g), zeros(n), zeros(n)];
      const owner = (block: number) => starts.findLastIndex((s) => s <= block * FLAT_BLOCK);
      const scalars = optimizerScalars();
      scalars.set({ lr, bias1: 0.1, bias2: 0.001 });
      const update = (gradients: Tensor) =>
        lambStep(
          { params, grads: gradients, m, v },
          {
            decayed: n,
            weightDecay: decay,
            finite: gradNorm(gradients),
            ...at(scalars),
            segments: Tensor.from(
              sizes.flatMap((size, k) => [starts[k]!, size]),
              [3, 2],
              "u32",
            ),
            owners: Tensor.from(
              Array.from({ length: n / FLAT_BLOCK }, (_, b) => owner(b)),
              [n / FLAT_BLOCK],
              "u32",
            ),
          },
        );
      update(from(g.with(5, NaN)));
      same("after gradients that are not finite", await params.floats(), Float32Array.from(w));
      same("their moments", await m.floats(), new Float32Array(n));
      update(grads);
      const u = Array.from(w, (x, i) => g[i]! / (Math.abs(g[i]!) + 1e-6) + decay * x);
      const norm = (of: ArrayLike<number>, k: number) => Math.hypot(...Array.from({ length: sizes[k]! }, (_, i) => of[starts[k]! + i]!));
      const ratios = starts.map((_, k) => norm(w, k) / norm(u, k) || 1);
      near(
        "params",
        await params.floats(),
        Array.from(w, (x, i) => (inside(i) < 0 ? 0 : x - lr * ratios[inside(i)]! * u[i]!)),
        2e-6,
      );
    },
  },
  {
    name: "lamb: refuses lengths and tables that do not fit",
    async run() {
      const o = {
        decayed: 0,
        weightDecay: 0,
        finite: zeros(2),
        segments: Tensor.zeros([1, 2], "u32"),
        owners: Tensor.zeros([1], "u32"),
        ...at(optimizerScalars()),
      };
      await refuses(
        () => lambStep({ params: zeros(64), grads: zeros(4), m: zeros(64), v: zeros(64) }, o),
        /lamb: expected grads \[64\] like the parameters, got \[4\]/,
      );
      await refuses(
        () => lambStep({ params: zeros(32), grads: zeros(32), m: zeros(32), v: zeros(32) }, o),
        /lamb: expected a multiple of 64 elements/,
      );
      await refuses(
        () => lambStep({ params: zeros(128), grads: zeros(128), m: zeros(128), v: zeros(128) }, o),
        /lamb: expected segments \[S,2\] and owners \[2\], got \[1,2\] and \[1\]/,
      );
    },
  },
  {
    name: "sgd: refuses lengths that do not fit",
    run: () =>
      refuses(
        () => sgdStep({ params: zeros(8), grads: zeros(8), momentum: zeros(4) }, { decayed: 0, weightDecay: 0, lr: constant(1) }),
        /sgd: expected momentum \[8\] like the parameters, got \[4\]/,
      ),
  },
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
      near("norm and flag", await gradNorm(from(x)).floats(), [Math.sqrt(x.reduce((s, v) => s + v * v, 0)), 1], 1e-6);
    },
  })),
  {
    name: "gradNorm: sees a value that is not finite wherever it is, and leaves it out",
    async run() {
      const n = 1028;
      const norm = Math.sqrt(n - 1);
      for (const bad of [NaN, Infinity, -Infinity]) {
        for (const i of [0, 3, 514, 1027])
          near(`${bad} at ${i}`, await gradNorm(from(new Float32Array(n).fill(1).fill(bad, i, i + 1))).floats(), [norm, 0]);
      }
      near("all", await gradNorm(from(new Float32Array(8).fill(NaN))).floats(), [0, 0]);
    },
  },
  {
    name: "gradNorm: values near both ends of f32",
    async run() {
      near("zeros", await gradNorm(zeros(8)).floats(), [0, 1], 0);
      near(
        "large",
        await gradNorm(from([1e18, 0, 0, 0]))
          .floats()
          .then((y) => [y[0]! / 1e18, y[1]!]),
        [1, 1],
      );
      close("overflow", (await gradNorm(from([3e38, 3e38, 0, 1])).floats())[1]!, 0, 0);
      await refuses(() => gradNorm(zeros(6)), /gradNorm: expected a multiple of 4 elements, got \[6\]/);
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
