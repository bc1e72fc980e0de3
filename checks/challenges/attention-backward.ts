import { gradients } from "../../engine/autograd.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { attention } from "../../kernels/attention.ts";
import type { Challenge } from "../challenge.ts";
import { asHeads } from "./attention.ts";

/** The product of two rows of D, by their numbers. */
function dot(a: Float64Array, i: number, b: Float64Array, j: number, D: number): number {
  let sum = 0;
  for (let d = 0; d < D; d++) sum += a[i * D + d]! * b[j * D + d]!;
  return sum;
}

/** Adds a multiple of a row of `b` to one of `a`. */
function addTo(a: Float64Array, i: number, by: number, b: Float64Array, j: number, D: number): void {
  for (let d = 0; d < D; d++) a[i * D + d]! += by * b[j * D + d]!;
}

export const challenge: Challenge = {
  title: "Attention, backward",
  formula:
    "with P_ij = exp(s_ij - lse_i), s_ij = q_i . k_j / sqrt(D), delta_i = dy_i . y_i and dS_ij = P_ij (dy_i . v_j - delta_i) in each head: dq_i = sum over j of dS_ij k_j / sqrt(D), dk_j = sum over i of dS_ij q_i / sqrt(D), dv_j = sum over i of P_ij dy_i; y and lse[h, i] = log of sum over j of exp(s_ij) as the forward left them",
  hint: "All of P is computed twice, once for dq and once for dk and dv, with every row read from memory each time. Keep rows in registers or workgroup memory; or write P once and make the rest matrix products.",
  op: "attention",
  inputs: { q: "[heads,N,D]", k: "[heads,N,D]", v: "[heads,N,D]", dy: "[heads,N,D]", y: "[heads,N,D]", lse: "[heads,N]" },
  outputs: { dq: "[heads,N,D]", dk: "[heads,N,D]", dv: "[heads,N,D]" },
  published: { software: { heads: 3, N: 198, D: 64 }, gpu: { heads: 12, N: 198, D: 64 } },
  hidden: { heads: [1, 3], N: [2, 60], D: [8, 64, 8] },
  start: /* wgsl */ `// dq and delta: one thread per query.

// kernel: reads q, k, v, dy, y, lse; writes dq, delta [heads,N]; threads heads*N; workgroup 64
fn main() {
  let i = group * WG + li;
  if (i >= p.heads * p.N) { return; }
  let query = i * p.D;
  let keys = i / p.N * p.N * p.D; // where the head's keys begin
  let scale = 1.0 / sqrt(f32(p.D));
  var own = 0.0;
  for (var d = 0u; d < p.D; d++) {
    own += dy[query + d] * y[query + d];
    dq[query + d] = 0.0;
  }
  delta[i] = own;
  for (var j = 0u; j < p.N; j++) {
    let key = keys + j * p.D;
    var s = 0.0;
    var dp = 0.0;
    for (var d = 0u; d < p.D; d++) {
      s += q[query + d] * k[key + d];
      dp += dy[query + d] * v[key + d];
    }
    let ds = exp(s * scale - lse[i]) * (dp - own);
    for (var d = 0u; d < p.D; d++) { dq[query + d] = dq[query + d] + ds * k[key + d] * scale; }
  }
}

// dk and dv: one thread per key.

// kernel: reads q, k, v, dy, lse, delta; writes dk, dv; threads heads*N; workgroup 64
fn main() {
  let j = group * WG + li;
  if (j >= p.heads * p.N) { return; }
  let key = j * p.D;
  let first = j / p.N * p.N; // the head's first query
  let scale = 1.0 / sqrt(f32(p.D));
  for (var d = 0u; d < p.D; d++) {
    dk[key + d] = 0.0;
    dv[key + d] = 0.0;
  }
  for (var i = first; i < first + p.N; i++) {
    let query = i * p.D;
    var s = 0.0;
    var dp = 0.0;
    for (var d = 0u; d < p.D; d++) {
      s += q[query + d] * k[key + d];
      dp += dy[query + d] * v[key + d];
    }
    let weight = exp(s * scale - lse[i]);
    let ds = weight * (dp - delta[i]);
    for (var d = 0u; d < p.D; d++) {
      dk[key + d] = dk[key + d] + ds * q[query + d] * scale;
      dv[key + d] = dv[key + d] + weight * dy[query + d];
    }
  }
}
`,
  derive(given, { heads: H, N, D }) {
    const { q, k, v } = given as Record<"q" | "k" | "v", Float64Array>;
    const [y, lse] = [new Float64Array(q.length), new Float64Array(H! * N!)];
    for (let i = 0; i < H! * N!; i++) {
      const first = i - (i % N!); // the head's
      const scores = Float64Array.from({ length: N! }, (_, j) => dot(q, i, k, first + j, D!) / Math.sqrt(D!));
      const most = scores.reduce((a, b) => Math.max(a, b));
      const log = most + Math.log(scores.reduce((sum, s) => sum + Math.exp(s - most), 0));
      lse[i] = log;
      scores.forEach((s, j) => addTo(y, i, Math.exp(s - log), v, first + j, D!));
    }
    return { y, lse };
  },
  reference(given, { heads: H, N, D }) {
    const { q, k, v, dy, y, lse } = given as Record<"q" | "k" | "v" | "dy" | "y" | "lse", Float64Array>;
    const [dq, dk, dv] = [q, k, v].map(({ length }) => new Float64Array(length)) as [Float64Array, Float64Array, Float64Array];
    for (let i = 0; i < H! * N!; i++) {
      const delta = dot(dy, i, y, i, D!);
      for (let j = i - (i % N!); j < i - (i % N!) + N!; j++) {
        const P = Math.exp(dot(q, i, k, j, D!) / Math.sqrt(D!) - lse[i]!);
        const dS = (P * (dot(dy, i, v, j, D!) - delta)) / Math.sqrt(D!);
        addTo(dq, i, dS, k, j, D!);
        addTo(dk, j, dS, q, i, D!);
        addTo(dv, j, P, dy, i, D!);
      }
    }
    return { dq, dk, dv };
  },
  shipped({ q, k, v, dy }, n) {
    const wanted = [q!, k!, v!].map((t) => asHeads(t, n)) as [Tensor, Tensor, Tensor];
    for (const t of wanted) t.requiresGrad = true;
    const y = attention(...wanted);
    const upstream = asHeads(dy!, n);
    return () => {
      const [dq, dk, dv] = gradients(y, wanted, upstream);
      return { dq: dq!, dk: dk!, dv: dv! };
    };
  },
};
