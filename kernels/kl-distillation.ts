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
import { defineKernel } from "../engine/kernel.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { sumTo, workgroupMax, workgroupSum } from "./reduce.ts";

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

// One workgroup per row.
const forwardKernel = defineKernel({
  name: "klDistillation.forward",
  inputs: { student: "f32", teacher: "f32" }, // (B, K), (B, K)
  outputs: { rows: "f32", stats: "f32" }, // (B): each row's part of the loss; (B, 4): max and sum exp((z - max) / tau) of both
  constants: { K: "u32" },
  params: { invTau: "f32", factor: "f32" },
  workgroup: WG,
  helpers: workgroupSum + workgroupMax + klTerm,
  code: ({ K }) => {
    const each = (body: string): string => `for (var j = 0u; j < ${Math.ceil(K / WG)}u; j++) { let k = j * WG + li; if (k < K) { ${body} } }`;
    return /* wgsl */ `
    var ms = student[group * K];
    var mt = teacher[group * K];
    ${each("ms = max(ms, student[group * K + k]); mt = max(mt, teacher[group * K + k]);")}
    ms = workgroup_max(ms, li);
    mt = workgroup_max(mt, li);
    var ss = 0.0;
    var st = 0.0;
    ${each("ss += exp((student[group * K + k] - ms) * p.invTau); st += exp((teacher[group * K + k] - mt) * p.invTau);")}
    ss = workgroup_sum(ss, li);
    st = workgroup_sum(st, li);
    let logRatio = log(ss / st);
    var kl = 0.0;
    ${each(`
      let s = student[group * K + k] - ms;
      let t = teacher[group * K + k] - mt;
      kl += kl_term(exp(t * p.invTau) / st, exp(s * p.invTau) / ss, (t - s) * p.invTau + logRatio);`)}
    kl = workgroup_sum(kl, li);
    if (li == 0u) {
      rows[group] = kl * p.factor;
      stats[group * 4u] = ms; stats[group * 4u + 1u] = ss; stats[group * 4u + 2u] = mt; stats[group * 4u + 3u] = st;
    }`;
  },
});

// One workgroup per row.
const backwardKernel = defineKernel({
  name: "klDistillation.backward",
  inputs: { student: "f32", teacher: "f32", stats: "f32", dy: "f32" }, // (B, K), (B, K), (B, 4), ()
  outputs: { dstudent: "f32" }, // (B, K)
  constants: { K: "u32" },
  params: { invTau: "f32", factor: "f32" },
  workgroup: WG,
  code: /* wgsl */ `
    for (var j = 0u; j < (K + WG - 1u) / WG; j++) {
      let k = j * WG + li;
      if (k < K) {
        let ps = exp((student[group * K + k] - stats[group * 4u]) * p.invTau) / stats[group * 4u + 1u];
        let pt = exp((teacher[group * K + k] - stats[group * 4u + 2u]) * p.invTau) / stats[group * 4u + 3u];
        dstudent[group * K + k] = (ps - pt) * p.factor * dy[0];
      }
    }`,
});

// One workgroup per row.
const backwardTeacherKernel = defineKernel({
  name: "klDistillation.backwardTeacher",
  inputs: { student: "f32", teacher: "f32", stats: "f32", dy: "f32" }, // (B, K), (B, K), (B, 4), ()
  outputs: { dteacher: "f32" }, // (B, K)
  constants: { K: "u32" },
  params: { invTau: "f32", factor: "f32" },
  workgroup: WG,
  helpers: workgroupSum,
  code: ({ K }) => {
    const each = (body: string): string => /* wgsl */ `
    for (var j = 0u; j < ${Math.ceil(K / WG)}u; j++) {
      let k = j * WG + li;
      if (k < K) {
        let t = teacher[group * K + k] - stats[group * 4u + 2u];
        let pt = exp(t * p.invTau) / stats[group * 4u + 3u];
        let l = (t - (student[group * K + k] - stats[group * 4u])) * p.invTau + logRatio;
        ${body}
      }
    }`;
    return /* wgsl */ `
    let logRatio = log(stats[group * 4u + 1u] / stats[group * 4u + 3u]);
    var part = 0.0;
    ${each("part += pt * l;")}
    let mean = workgroup_sum(part, li);
    ${each("dteacher[group * K + k] = pt * (l - mean) * p.factor * dy[0];")}`;
  },
});

const op = defineOp({
  name: "klDistillation",
  forward([student, teacher]: [Tensor, Tensor], { tau, n }: { tau: number; n: number }) {
    const [B, K] = student.shape as [number, number];
    const { rows, stats } = forwardKernel({
      inputs: { student, teacher }, outputs: { rows: [B], stats: [B, 4] }, constants: { K }, params: { invTau: 1 / tau, factor: tau ** 2 / n }, groups: B,
    });
    return { y: sumTo(rows, []), saved: stats };
  },
  backward(dy, stats, [student, teacher], { tau, n }, needs) {
    const [B, K] = student.shape as [number, number];
    const args = { inputs: { student, teacher, stats, dy }, constants: { K }, params: { invTau: 1 / tau, factor: tau / n }, groups: B };
    return [
      needs[0] ? backwardKernel({ ...args, outputs: { dstudent: student.shape }, store: { dstudent: student.dtype } }).dstudent : null,
      needs[1] ? backwardTeacherKernel({ ...args, outputs: { dteacher: teacher.shape }, store: { dteacher: teacher.dtype } }).dteacher : null,
    ];
  },
});

/** student, teacher: (B, K) logits. Returns (). */
export function klDistillation(student: Tensor, teacher: Tensor, { tau = 1, reduction = "numel" }: { readonly tau?: number; readonly reduction?: Reduction } = {}): Tensor {
  if (student.shape.length !== 2 || !sameShape(student.shape, teacher.shape)) {
    throw new Error(`klDistillation: expected student and teacher [B,K] alike, got ${show(student.shape)} and ${show(teacher.shape)}`);
  }
  if (!(tau > 0 && Number.isFinite(tau))) throw new Error(`klDistillation: expected tau above 0, got ${tau}`);
  if (reduction !== "numel" && reduction !== "batchmean") throw new Error(`klDistillation: expected reduction "numel" or "batchmean", got "${reduction as string}"`);
  return op([student, teacher], { tau, n: reduction === "numel" ? student.size : student.shape[0]! });
}
