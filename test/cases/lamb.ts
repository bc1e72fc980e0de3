/** LAMB takes the steps that timm recorded (test/golden/optimizers.json) and one worked out here, and refuses tables that do not fit. */
import { Tensor } from "../../engine/tensor.ts";
import { FLAT_BLOCK } from "../../kernels/optim/flat-block.ts";
import { gradNorm } from "../../kernels/optim/grad-norm.ts";
import { lambStep } from "../../kernels/optim/lamb.ts";
import { refuses, type Case } from "../../checks/check.ts";
import golden from "../golden/optimizers.json" with { type: "json" };
import { at, from, near, optimizerScalars, same, values, zeros, type Recorded } from "../optimizer-checks.ts";

export const cases: Case[] = [
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
            finite: gradNorm([g]),
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
            finite: gradNorm([gradients]),
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
];
