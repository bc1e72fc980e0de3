/** AdamW and SGD take the steps that PyTorch recorded (test/golden/optimizers.json) and the reference's, and refuse what does not fit. */
import { record } from "../../engine/plan.ts";
import { constant, Scalars } from "../../kernels/shared/scalars.ts";
import { readAll, type Tensor } from "../../engine/tensor.ts";
import { adamwStep } from "../../kernels/optim/adamw.ts";
import { emaStep } from "../../kernels/optim/ema.ts";
import { gradNorm } from "../../kernels/optim/grad-norm.ts";
import { sgdStep } from "../../kernels/optim/sgd.ts";
import { close, refuses, type Case } from "../../checks/check.ts";
import { adamw, sgd } from "../../checks/reference/optimizers.ts";
import golden from "../golden/optimizers.json" with { type: "json" };
import { at, flat, from, near, optimizerScalars, same, values, zeros, type Recorded } from "../optimizer-checks.ts";

/** Three steps of AdamW on n elements against the reference. */
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
        const norm = gradNorm([grads]);
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
          { decayed: 128, weightDecay: 0.1, momentum: o.momentum, nesterov, lr: constant(o.lr), finite: gradNorm([g]), clip },
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
  {
    name: "sgd: refuses lengths that do not fit",
    run: () =>
      refuses(
        () => sgdStep({ params: zeros(8), grads: zeros(8), momentum: zeros(4) }, { decayed: 0, weightDecay: 0, lr: constant(1) }),
        /sgd: expected momentum \[8\] like the parameters, got \[4\]/,
      ),
  },
];
