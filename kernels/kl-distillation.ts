/**
 * Soft distillation: how far the student's softened probabilities are from the teacher's.
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
import { sumTo } from "./reduce.ts";
import { rowVariant, rowWords, type RowVariant } from "./rows.ts";

const WG = 64;

export type Reduction = "numel" | "batchmean";

/**
 * `kl_term(pt, ps, d)`: pt * d - pt + ps, d = log(pt / ps). The last two add up to 0 over a row; with them no term is negative and
 * rounding in d cancels, which matters where a high tau brings both sides close. Near d = 0 it is pt times a series.
 */
const klTerm = /* wgsl */ `
fn kl_term(pt: f32, ps: f32, d: f32) -> f32 {
  let series = 0.5 + d * (-1.0 / 6.0 + d * (1.0 / 24.0 + d * (-1.0 / 120.0 + d * (1.0 / 720.0 + d * (-1.0 / 5040.0 + d / 40320.0)))));
  return select(pt * (d - 1.0) + ps, pt * d * d * series, abs(d) < 0.5);
}
`;

// One workgroup or one thread per row, see rows.ts; the student's gradient: one thread per element.
const kernels = kernelFamily(({ variant }: { variant: RowVariant }) => {
  const w = rowWords[variant];
  const walk = (body: string): string => `for (var i = row * p.len + ${w.first}; i < (row + 1u) * p.len; i += ${w.step}) { ${body} }`;
  const params = { rows: "u32", len: "u32", invTau: "f32", factor: "f32" } as const;
  const log = "let logRatio = log(stats[row * 4u + 1u] / stats[row * 4u + 3u]);";
  const each = (body: string): string => walk(`
      let t = teacher[i] - stats[row * 4u + 2u];
      let pt = exp(t * p.invTau) / stats[row * 4u + 3u];
      let l = (t - (student[i] - stats[row * 4u])) * p.invTau + logRatio;
      ${body}`);
  return {
    forward: defineKernel({
      name: "klDistillation.forward",
      inputs: { student: "f32", teacher: "f32" }, // (B, K), (B, K)
      outputs: { losses: "f32", stats: "f32" }, // (B): each row's part of the loss; (B, 4): max and sum exp((z - max) / tau) of both
      params, workgroup: w.workgroup, helpers: w.helpers + klTerm,
      code: w.code(/* wgsl */ `
    var ms = -3.4e38;
    var mt = -3.4e38;
    ${walk("ms = max(ms, student[i]); mt = max(mt, teacher[i]);")}
    ms = ${w.max("ms")};
    mt = ${w.max("mt")};
    var ss = 0.0;
    var st = 0.0;
    ${walk("ss += exp((student[i] - ms) * p.invTau); st += exp((teacher[i] - mt) * p.invTau);")}
    ss = ${w.sum("ss")};
    st = ${w.sum("st")};
    let logRatio = log(ss / st);
    var kl = 0.0;
    ${walk(`
      let s = student[i] - ms;
      let t = teacher[i] - mt;
      kl += kl_term(exp(t * p.invTau) / st, exp(s * p.invTau) / ss, (t - s) * p.invTau + logRatio);`)}
    kl = ${w.sum("kl")};
    if (${w.leads}) {
      losses[row] = kl * p.factor;
      stats[row * 4u] = ms; stats[row * 4u + 1u] = ss; stats[row * 4u + 2u] = mt; stats[row * 4u + 3u] = st;
    }`),
    }),
    backward: defineKernel({
      name: "klDistillation.backward",
      inputs: { student: "f32", teacher: "f32", stats: "f32", dy: "f32" }, // (B, K), (B, K), (B, 4), ()
      outputs: { dstudent: "f32" }, // (B, K)
      params, workgroup: WG,
      code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.rows * p.len) {
      let row = i / p.len;
      let ps = exp((student[i] - stats[row * 4u]) * p.invTau) / stats[row * 4u + 1u];
      let pt = exp((teacher[i] - stats[row * 4u + 2u]) * p.invTau) / stats[row * 4u + 3u];
      dstudent[i] = (ps - pt) * p.factor * dy[0];
    }`,
    }),
    backwardTeacher: defineKernel({
      name: "klDistillation.backwardTeacher",
      inputs: { student: "f32", teacher: "f32", stats: "f32", dy: "f32" }, // (B, K), (B, K), (B, 4), ()
      outputs: { dteacher: "f32" }, // (B, K)
      params, workgroup: w.workgroup, helpers: w.helpers,
      code: w.code(/* wgsl */ `
    ${log}
    var part = 0.0;
    ${each("part += pt * l;")}
    let mean = ${w.sum("part")};
    ${each("dteacher[i] = pt * (l - mean) * p.factor * dy[0];")}`),
    }),
  };
});

const op = defineOp({
  name: "klDistillation",
  forward([student, teacher]: [Tensor, Tensor], { tau, n, variant }: { tau: number; n: number; variant: RowVariant }) {
    const [B, K] = student.shape as [number, number];
    const { losses, stats } = kernels({ variant }).forward({
      inputs: { student, teacher }, outputs: { losses: [B], stats: [B, 4] }, params: { rows: B, len: K, invTau: 1 / tau, factor: tau ** 2 / n }, groups: rowWords[variant].groups(B),
    });
    return { y: sumTo(losses, []), saved: stats };
  },
  backward(dy, stats, [student, teacher], { tau, n, variant }, needs) {
    const [B, K] = student.shape as [number, number];
    const { backward, backwardTeacher } = kernels({ variant });
    const args = { inputs: { student, teacher, stats, dy }, params: { rows: B, len: K, invTau: 1 / tau, factor: tau / n } };
    return [
      needs[0] ? backward({ ...args, groups: Math.ceil((B * K) / WG), outputs: { dstudent: student.shape }, store: { dstudent: student.dtype } }).dstudent : null,
      needs[1] ? backwardTeacher({ ...args, groups: rowWords[variant].groups(B), outputs: { dteacher: teacher.shape }, store: { dteacher: teacher.dtype } }).dteacher : null,
    ];
  },
});

interface KlOptions {
  readonly tau?: number;
  readonly reduction?: Reduction;
  readonly variant?: RowVariant;
}

/** student, teacher: (B, K) logits. Returns (). */
export function klDistillation(student: Tensor, teacher: Tensor, { tau = 1, reduction = "numel", variant }: KlOptions = {}): Tensor {
  if (student.shape.length !== 2 || !sameShape(student.shape, teacher.shape)) {
    throw new Error(`klDistillation: expected student and teacher [B,K] alike, got ${show(student.shape)} and ${show(teacher.shape)}`);
  }
  if (!(tau > 0 && Number.isFinite(tau))) throw new Error(`klDistillation: expected tau above 0, got ${tau}`);
  if (reduction !== "numel" && reduction !== "batchmean") throw new Error(`klDistillation: expected reduction "numel" or "batchmean", got "${reduction as string}"`);
  return op([student, teacher], { tau, n: reduction === "numel" ? student.size : student.shape[0]!, variant: rowVariant("klDistillation", student, variant) });
}
