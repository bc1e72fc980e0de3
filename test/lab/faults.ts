/** Faults that kernels get while they are written, planted in six of the shipped ones: what is replaced, and by what. */

type Fault =
  | "off by one at a row's end"
  | "barrier missing"
  | "term left out of the gradient"
  | "wrong accumulate"
  | "write past the end"
  | "read of what was never written";

export interface Planted {
  readonly op: string;
  /** Part of the name of a case that launches the module. */
  readonly by: string;
  /** The module's name; of several, the first that holds every text that is replaced. */
  readonly module: string;
  readonly faults: Readonly<Partial<Record<Fault, readonly [from: string, to: string]>>>;
}

const SUM_BARRIER = ["partial_sum[i] = v;\n  workgroupBarrier();", "partial_sum[i] = v;"] as const;

export const PLANTED: Readonly<Record<string, Planted>> = {
  "layer norm, forward": {
    op: "layerNorm",
    by: "layerNorm (shared)",
    module: "layerNorm.forward",
    faults: {
      "off by one at a row's end": ["i < p.len; i += WG) { m +=", "i + 1u < p.len; i += WG) { m +="],
      "barrier missing": SUM_BARRIER,
      "term left out of the gradient": ["stats[row] = vec2f(m, r);", "stats[row] = vec2f(0.0, r);"],
      "wrong accumulate": ["sq += dot(d * d", "sq = dot(d * d"],
      "write past the end": ["if (li == 0u) {", "if (li == 0u && row + 1u == p.rows) { y[p.rows * p.len] = y[0]; } if (li == 0u) {"],
      "read of what was never written": ["* weight[i] + bias[i];", "* weight[i] + bias[i] + y[first + i];"],
    },
  },
  "layer norm, backward": {
    op: "layerNorm",
    by: "layerNorm (shared)",
    module: "layerNorm.backward",
    faults: {
      "off by one at a row's end": ["i < p.len; i += WG) { let g", "i + 1u < p.len; i += WG) { let g"],
      "barrier missing": ["dbias_sum = vec4f();\n      workgroupBarrier();", "dbias_sum = vec4f();"],
      "term left out of the gradient": [" - n * mean_gn", ""],
      "wrong accumulate": ["dweight_sum += dweight_short;", "dweight_sum = dweight_short;"],
      "write past the end": ["if (column < p.len && li", "if (li"],
      "read of what was never written": ["var dweight_sum: vec4f;", "var dweight_sum = dweight[min(column, p.len - 1u)];"],
    },
  },
  softmax: {
    op: "softmax",
    by: "softmax (shared)",
    module: "softmax.forward",
    faults: {
      "off by one at a row's end": ["i < first + p.len; i += WG) { s +=", "i + 1u < first + p.len; i += WG) { s +="],
      "barrier missing": SUM_BARRIER,
      "wrong accumulate": ["s += exp(", "s = exp("],
      "write past the end": ["let r = 1.0 / s;", "let r = 1.0 / s; if (row + 1u == p.rows && li == 0u) { y[p.rows * p.len] = r; }"],
      "read of what was never written": ["* r; } }", "* r + y[i]; } }"],
    },
  },
  "softmax, backward": {
    op: "softmax",
    by: "softmax (shared)",
    module: "softmax.backward",
    faults: { "term left out of the gradient": ["(dy[i] - f32(s))", "dy[i]"] },
  },
  GEMM: {
    op: "matmul",
    by: "(shared)",
    module: "gemm.shared",
    faults: {
      "off by one at a row's end": ["let k1 = min(k0 + p.chunk, p.K);", "let k1 = min(k0 + p.chunk, p.K - 1u);"],
      "barrier missing": ["workgroupBarrier();\n      let after", "let after"],
      "term left out of the gradient": ["c3_0 = fma(vec4f(a0.w), b0, c3_0);", ""],
      "wrong accumulate": ["c1_0 = fma(vec4f(a0.y), b0, c1_0);", "c1_0 = vec4f(a0.y) * b0;"],
      "write past the end": ["if (m < p.M && n < p.N) {", "if (m <= p.M + 3u && n < p.N) {"],
      "read of what was never written": ["let cell = at; y[cell] = v;", "let cell = at; y[cell] = v + y[cell];"],
    },
  },
  "attention, backward": {
    op: "attention",
    by: "attention (shared): DeiT",
    module: "attention.backwardQ",
    faults: {
      "off by one at a row's end": ["j < p.share; j++) { sum[j] += ds0", "j + 1u < p.share; j++) { sum[j] += ds0"],
      // The tile's barrier. That between the two threads of a row cannot be missed where neighbours run in lockstep, as on both software adapters.
      "barrier missing": ["workgroupBarrier();\n      for (var quarter", "for (var quarter"],
      "term left out of the gradient": ["* (dp0 - delta.x)", "* dp0"],
      "wrong accumulate": ["sum[j] += ds0", "sum[j] = ds0"],
      "write past the end": ["if (owns && li % 2u == 0u) { deltas", "if (li % 2u == 0u && owned <= p.n) { deltas"],
      "read of what was never written": ["= sum[j] * p.scale;", "= sum[j] * p.scale + dq[q_at + row * q_step + j];"],
    },
  },
  AdamW: {
    op: "adamw",
    by: "adamw",
    module: "adamw",
    faults: {
      "off by one at a row's end": ["if (i >= p.n4)", "if (i + 1u >= p.n4)"],
      // No barrier to leave out: it has no workgroup memory.
      "term left out of the gradient": [" + p.rest2 * g * g", ""],
      "wrong accumulate": ["p.beta1 * m[i] + p.rest1 * g", "p.rest1 * g"],
      "write past the end": ["params[i] = w;", "params[i] = w; if (i + 1u == p.n4) { params[p.n4] = w; }"],
      "read of what was never written": ["params[i] = w;", "params[i] = w + v[i + 1u];"],
    },
  },
};
