import { attention } from "../../kernels/attention.ts";
import { reshape } from "../../kernels/movement.ts";
import type { Tensor } from "../../engine/tensor.ts";
import type { Challenge, Letters } from "../challenge.ts";
import { attentionReference } from "../reference/attention.ts";

/** One image's heads, as the operation takes them. */
export const asHeads = (t: Tensor, { heads, N, D }: Letters): Tensor => reshape(t, [1, heads!, N!, D!]);

export const challenge: Challenge = {
  title: "Attention, forward",
  formula: "y[h, i] = sum over j of P_ij v[h, j], P_ij = exp(s_ij) / sum over k of exp(s_ik), s_ij = q[h, i] . k[h, j] / sqrt(D)",
  hint: "Every score is computed three times, and y lies in memory while it grows. Keep q's row and y's in registers or workgroup memory, and go over the keys once with a running maximum (Dao et al. 2022, https://arxiv.org/abs/2205.14135).",
  op: "attention",
  inputs: { q: "[heads,N,D]", k: "[heads,N,D]", v: "[heads,N,D]" },
  outputs: { y: "[heads,N,D]" },
  published: { software: { heads: 3, N: 198, D: 64 }, gpu: { heads: 24, N: 198, D: 64 } },
  hidden: { heads: [1, 3], N: [2, 90], D: [8, 64, 8] },
  start: /* wgsl */ `// Attention. One thread per query, which goes over all keys three times.

// kernel: reads q, k, v; writes y; threads heads*N; workgroup 64
// q . k / sqrt(D) of a query and a key, by where their rows begin.
fn score(query: u32, key: u32) -> f32 {
  var dot = 0.0;
  for (var d = 0u; d < p.D; d++) { dot += q[query + d] * k[key + d]; }
  return dot / sqrt(f32(p.D));
}

fn main() {
  let i = group * WG + li;
  if (i >= p.heads * p.N) { return; }
  let query = i * p.D;
  let keys = i / p.N * p.N * p.D; // where the head's keys and values begin
  var most = score(query, keys);
  for (var j = 1u; j < p.N; j++) { most = max(most, score(query, keys + j * p.D)); }
  var sum = 0.0;
  for (var j = 0u; j < p.N; j++) { sum += exp(score(query, keys + j * p.D) - most); }
  for (var d = 0u; d < p.D; d++) { y[query + d] = 0.0; }
  for (var j = 0u; j < p.N; j++) {
    let weight = exp(score(query, keys + j * p.D) - most) / sum;
    for (var d = 0u; d < p.D; d++) { y[query + d] = y[query + d] + weight * v[keys + j * p.D + d]; }
  }
}
`,
  stretched: { q: (u) => 100 * u },
  reference: ({ q, k, v }, { heads, N, D }) => ({ y: attentionReference(heads!, N!, N!, D!)(q!, k!, v!) }),
  shipped({ q, k, v }, n) {
    const [queries, keys, values] = [q!, k!, v!].map((t) => asHeads(t, n)) as [Tensor, Tensor, Tensor];
    return () => ({ y: attention(queries, keys, values) });
  },
};
