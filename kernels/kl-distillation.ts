/**
 * Soft distillation: KL divergence between the teacher's and the student's softened probabilities.
 *
 *   L = tau^2 / n * sum over b, k of pt * (log pt - log ps),   pt = softmax(teacher / tau),   ps = softmax(student / tau)
 *
 * where n is B*K ("numel": the official code's, K times weaker than the textbook's) or B ("batchmean"). Backward:
 *
 *   dstudent = tau / n * (ps - pt) * dy,   dteacher = tau / n * pt * (l - sum over k of pt * l) * dy,   l = log pt - log ps
 *
 * Hinton et al. 2015, https://arxiv.org/abs/1503.02531; Touvron et al. 2021, https://arxiv.org/abs/2012.12877
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { sumTo } from "./shared/reduce.ts";
import { rowPlan, rowWords, vectors, type RowConfig } from "./rows/rows.ts";
import { rowVariant, type RowVariant } from "./rows/variants.ts";

const WG = 256;

export type Reduction = "numel" | "batchmean";

/**
 * `kl_term(pt, ps, d)`: pt * d - pt + ps, d = log(pt / ps). The last two add up to 0 over a row; with them no term is negative and
 * rounding in d cancels, which matters where a high tau brings both sides close. Near d = 0 it is pt times a series.
 */
const klTerm = (T: string) => /* wgsl */ `
fn kl_term(pt: ${T}, ps: ${T}, d: ${T}) -> ${T} {
  let series = 0.5 + d * (-1.0 / 6.0 + d * (1.0 / 24.0 + d * (-1.0 / 120.0 + d * (1.0 / 720.0 + d * (-1.0 / 5040.0 + d / 40320.0)))));
  return select(pt * (d - 1.0) + ps, pt * d * d * series, abs(d) < ${T}(0.5));
}
`;

// Row kernels (rows/rows.ts); the student's gradient: one thread per vector. `p.len` counts vectors.
const kernels = kernelFamily(({ shape, W }: RowConfig) => {
  const w = rowWords(shape);
  const { T, total, most } = vectors(W);
  const params = { rows: "u32", len: "u32", invTau: "f32", factor: "f32" } as const;
  const both = w.row(T, { s: (at) => `student[${at}]`, t: (at) => `teacher[${at}]` });
  return {
    forward: defineKernel({
      name: "klDistillation.forward",
      inputs: { student: T, teacher: T }, // (B, K), (B, K)
      outputs: { losses: "f32", stats: "f32" }, // (B): each row's part of the loss; (B, 4): max and sum exp((z - max) / tau) of both
      params,
      ...w.threads,
      helpers: w.threads.helpers + klTerm(T),
      code: w.code(/* wgsl */ `
    let first = row * p.len;
    ${both.load}
    var ms = -3.4e38;
    var mt = -3.4e38;
    ${both.each(({ s, t }) => `let a = ${s}; let b = ${t}; ms = max(ms, ${most("a")}); mt = max(mt, ${most("b")});`)}
    ${w.max("ms", "mt")}
    var ss = 0.0;
    var st = 0.0;
    ${both.each(({ s, t }) => `ss += ${total(`exp((${s} - ${T}(ms)) * p.invTau)`)}; st += ${total(`exp((${t} - ${T}(mt)) * p.invTau)`)};`)}
    ${w.sum("ss", "st")}
    let logRatio = log(ss / st);
    var kl = 0.0;
    ${both.each(
      ({ s, t }) => `
      let a = ${s} - ${T}(ms);
      let b = ${t} - ${T}(mt);
      let term = kl_term(exp(b * p.invTau) / st, exp(a * p.invTau) / ss, (b - a) * p.invTau + ${T}(logRatio));
      kl += ${total("term")};`,
    )}
    ${w.sum("kl")}
    if (${w.leads}) {
      losses[row] = kl * p.factor;
      stats[row * 4u] = ms; stats[row * 4u + 1u] = ss; stats[row * 4u + 2u] = mt; stats[row * 4u + 3u] = st;
    }`),
    }),
    backward: defineKernel({
      name: "klDistillation.backward",
      inputs: { student: T, teacher: T, stats: "f32", dy: "f32" }, // (B, K), (B, K), (B, 4), ()
      outputs: { dstudent: T }, // (B, K)
      params,
      workgroup: { upTo: WG },
      code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.rows * p.len) {
      let row = i / p.len;
      let ps = exp((student[i] - ${T}(stats[row * 4u])) * p.invTau) / stats[row * 4u + 1u];
      let pt = exp((teacher[i] - ${T}(stats[row * 4u + 2u])) * p.invTau) / stats[row * 4u + 3u];
      dstudent[i] = (ps - pt) * p.factor * dy[0];
    }`,
    }),
    backwardTeacher: defineKernel({
      name: "klDistillation.backwardTeacher",
      inputs: { student: T, teacher: T, stats: "f32", dy: "f32" }, // (B, K), (B, K), (B, 4), ()
      outputs: { dteacher: T }, // (B, K)
      params,
      ...w.threads,
      code: w.code(
        ((terms: (s: string, t: string) => string) => /* wgsl */ `
    let first = row * p.len;
    let logRatio = log(stats[row * 4u + 1u] / stats[row * 4u + 3u]);
    ${both.load}
    var mean = 0.0;
    ${both.each(({ s, t }) => `${terms(s, t)} mean += ${W === 1 ? "pt * l" : "dot(pt, l)"};`)}
    ${w.sum("mean")}
    ${both.store(({ s, t, at }) => `${terms(s, t)} dteacher[${at}] = pt * (l - ${T}(mean)) * p.factor * dy[0];`)}`)(
          (s, t) => `
      let b = ${t} - ${T}(stats[row * 4u + 2u]);
      let pt = exp(b * p.invTau) / stats[row * 4u + 3u];
      let l = (b - (${s} - ${T}(stats[row * 4u]))) * p.invTau + ${T}(logRatio);`,
        ),
      ),
    }),
  };
});

const op = defineOp({
  name: "klDistillation",
  forward([student, teacher]: [Tensor, Tensor], { tau, n, variant }: { tau: number; n: number; variant: RowVariant }) {
    const { config, grid } = rowPlan(student, variant);
    const { rows, len, groups } = grid;
    const { losses, stats } = kernels(config).forward({
      inputs: { student, teacher },
      outputs: { losses: [rows], stats: [rows, 4] },
      params: { rows, len, invTau: 1 / tau, factor: tau ** 2 / n },
      groups,
    });
    return { y: sumTo(losses, []), saved: { stats, config, grid } };
  },
  backward(dy, { stats, config, grid: { rows, len, groups } }, [student, teacher], { tau, n }, needs) {
    const { backward, backwardTeacher } = kernels(config);
    const args = { inputs: { student, teacher, stats, dy }, params: { rows, len, invTau: 1 / tau, factor: tau / n } };
    return [
      needs[0] ? backward({ ...args, threads: rows * len, outputs: { dstudent: student } }).dstudent : null,
      needs[1] ? backwardTeacher({ ...args, groups, outputs: { dteacher: teacher } }).dteacher : null,
    ];
  },
});

interface KlOptions {
  readonly tau?: number;
  readonly reduction?: Reduction;
  readonly variant?: RowVariant | undefined;
}

/** student, teacher: (B, K) logits. Returns (). */
export function klDistillation(student: Tensor, teacher: Tensor, { tau = 1, reduction = "numel", variant }: KlOptions = {}): Tensor {
  if (student.shape.length !== 2 || !sameShape(student.shape, teacher.shape)) {
    throw new Error(`klDistillation: expected student and teacher [B,K] alike, got ${show(student.shape)} and ${show(teacher.shape)}`);
  }
  if (!(tau > 0 && Number.isFinite(tau))) throw new Error(`klDistillation: expected tau above 0, got ${tau}`);
  if (reduction !== "numel" && reduction !== "batchmean")
    throw new Error(`klDistillation: expected reduction "numel" or "batchmean", got "${reduction as string}"`);
  return op([student, teacher], {
    tau,
    n: reduction === "numel" ? student.size : student.shape[0]!,
    variant: rowVariant("klDistillation", student, variant),
  });
}
