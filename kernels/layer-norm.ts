/**
 * Layer normalization over the last axis.
 *
 *   y = n * weight + bias,   n = (x - mean) * rstd,   rstd = 1 / sqrt(var + eps)
 *
 * Backward, with g = dy * weight and means taken over the row:
 *
 *   dx = rstd * (g - mean(g) - n * mean(g * n))
 *   dweight = sum over rows of dy * n,   dbias = sum over rows of dy
 *
 * Ba et al. 2016, https://arxiv.org/abs/1607.06450
 */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel, kernelFamily, type Elem } from "../engine/kernel.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { addParts } from "./shared/add-parts.ts";
import {
  rowShape,
  rowVariant,
  rowWords,
  vectors,
  widthOf,
  type RowShape,
  type RowVariant,
  type RowWords,
  type Width,
} from "./rows/rows.ts";

interface Config {
  readonly shape: RowShape;
  /** Whether the backward adds a gradient that reached x by other ways. */
  readonly adds: boolean;
  readonly W: Width;
}

// Of the kinds that go down columns apart from rows: threads that share a column, and rows of it that are added before they are added to the rest.
const LANES = { shared: 16, register: 1 } as const;
const RUN = 64;

// On a GPU a column longer than this would be all the kernel's time: it is cut into stripes, which one more launch adds.
const STRIPE = 2048;

// Of teams: workgroups that share the rows where there are many, and the least rows of each.
const WORKGROUPS = 1024;
const LEAST = 16;
/** Threads of such a workgroup: each keeps two rows and the parameters' sums, so that few fit. */
const STRIPED = 128;

const kernels = kernelFamily(({ shape, adds, W }: Config) => {
  const w = rowWords(shape);
  const { T, total } = vectors(W);
  const size = `f32(p.len * ${W}u)`; // D; p.len counts vectors
  const of = (array: string) => (at: string) => `${array}[${at}]`;
  const given = w.row(T, { v: of("x") }, "i");
  const upstream = w.row(T, { d: of("dy"), v: of("x") }, "i"); // registers are named alike in every workgroup
  const inputs = { dy: T, x: T, weight: T, stats: "vec2f", ...(adds ? { others: T } : {}) } as Record<string, Elem>; // (N, D), (N, D), (D), (N, 2), (N, D)
  const outputs = { dx: T, dweight: T, dbias: T } as const; // (N, D), (S, D), (S, D)
  /** dx of one row, as the forward makes y; `others` is added to it. `also`: what each element adds to besides. */
  const rowBackward = (w: RowWords, also: (v: { readonly d: string; readonly v: string; readonly i: string }) => string) => /* wgsl */ `
    let first = row * p.len;
    let m = stats[row].x;
    let r = stats[row].y;
    ${upstream.load}
    var mean_g = 0.0;
    var mean_gn = 0.0;
    ${upstream.each(({ d, v, i }) => `let g = ${d} * weight[${i}]; mean_g += ${total("g")}; mean_gn += ${total(`g * ((${v} - ${T}(m)) * r)`)};`)}
    ${w.sum("mean_g", "mean_gn")}
    mean_g /= ${size};
    mean_gn /= ${size};
    ${upstream.store(({ d, v, at, i }) => `let n = (${v} - ${T}(m)) * r; dx[${at}] = ${adds ? `others[${at}] + ` : ""}r * (${d} * weight[${i}] - ${T}(mean_g) - n * mean_gn);${also({ d, v, i })}`)}`;
  return {
    forward: defineKernel({
      name: "layerNorm.forward",
      workgroup: w.workgroup,
      helpers: w.helpers,
      needs: w.needs,
      inputs: { x: T, weight: T, bias: T }, // (N, D), (D), (D)
      outputs: { y: T, stats: "vec2f" }, // (N, D), (N, 2): mean and rstd
      params: { rows: "u32", len: "u32", eps: "f32" },
      code: w.code(/* wgsl */ `
    let first = row * p.len;
    ${given.load}
    var m = 0.0;
    ${given.each(({ v }) => `m += ${total(v)};`)}
    ${w.sum("m")}
    m /= ${size};

    // Two passes over the row: E[x^2] - E[x]^2 cancels badly in f32.
    var sq = 0.0;
    ${given.each(({ v }) => `let d = ${v} - ${T}(m); sq += ${total("d * d")};`)}
    ${w.sum("sq")}
    let r = 1.0 / sqrt(sq / ${size} + p.eps);

    ${given.store(({ v, at, i }) => `y[${at}] = (${v} - ${T}(m)) * r * weight[${i}] + bias[${i}];`)}
    if (${w.leads}) { stats[row] = vec2f(m, r); }`),
    }),

    backward: shape.kind === "team" ? teamBackward(shape) : columnsBackward(shape.kind),
  };

  // The first workgroups go down columns, for the parameters: a thread per column (W of them) of a stripe of rows, or
  // LANES of them that add up at the end. The others make dx.
  function columnsBackward(variant: "shared" | "register") {
    return defineKernel({
      name: "layerNorm.backward",
      workgroup: w.workgroup,
      inputs,
      outputs,
      params: { rows: "u32", len: "u32", stripe: "u32", columns: "u32", stripes: "u32" },
      helpers:
        w.helpers + (variant === "shared" ? `var<workgroup> dweights: array<${T}, WG>; var<workgroup> dbiases: array<${T}, WG>;` : ""),
      code: /* wgsl */ `
    if (group < p.columns * p.stripes) {
      let column = group % p.columns * ${w.workgroup / LANES[variant]}u + li / ${LANES[variant]}u;
      let end = min((group / p.columns + 1u) * p.stripe, p.rows);
      var w: ${T};
      var b: ${T};
      // In short runs, so that what is added is never much smaller than what it is added to.
      for (var start = group / p.columns * p.stripe; start < end; start += ${RUN}u) {
        var run_w = ${T}();
        var run_b = ${T}();
        for (var row = start + li % ${LANES[variant]}u; row < min(start + ${RUN}u, end); row += ${LANES[variant]}u) {
          let at = row * p.len + min(column, p.len - 1u);
          let d = dy[at];
          run_w += d * ((x[at] - ${T}(stats[row].x)) * stats[row].y);
          run_b += d;
        }
        w += run_w;
        b += run_b;
      }
      ${
        variant === "shared"
          ? `
      dweights[li] = w;
      dbiases[li] = b;
      workgroupBarrier();
      w = ${T}();
      b = ${T}();
      for (var lane = 0u; lane < ${LANES.shared}u; lane++) {
        w += dweights[li / ${LANES.shared}u * ${LANES.shared}u + lane];
        b += dbiases[li / ${LANES.shared}u * ${LANES.shared}u + lane];
      }`
          : ""
      }
      if (column < p.len && li % ${LANES[variant]}u == 0u) {
        dweight[group / p.columns * p.len + column] = w;
        dbias[group / p.columns * p.len + column] = b;
      }
      return;
    }
    ${w.code(
      rowBackward(w, () => ""),
      "(group - p.columns * p.stripes)",
    )}`,
    });
  }

  // A workgroup takes a stripe of rows, a team every so many of them, and reads each once: for dx, and for the parameters, whose sums
  // stay in registers until the stripe's end. There the teams' are added, in order.
  function teamBackward({ threads, loads }: Extract<RowShape, { kind: "team" }>) {
    const w = rowWords(shape, STRIPED);
    const teams = w.workgroup / threads;
    const numbers = Array.from({ length: loads }, (_, k) => k);
    const column = (k: number) => `own + ${k * threads}u`;
    let k = 0;
    const sums = /* wgsl */ `
    for (var turn = 0u; turn < p.stripe / ${teams}u; turn++) {
      let at = group * p.stripe + turn * ${teams}u + place / ${threads}u;
      let alive = at < p.rows;
      let row = min(at, p.rows - 1u);
      ${rowBackward(w, ({ d }) => ` w_${k} += ${d} * n; b_${k++} += ${d};`)}
    }`;
    return defineKernel({
      name: "layerNorm.backward",
      workgroup: w.workgroup,
      inputs,
      outputs,
      needs: w.needs,
      params: { rows: "u32", len: "u32", stripe: "u32", columns: "u32", stripes: "u32" },
      helpers: `${w.helpers}var<workgroup> dweights: array<${T}, WG>; var<workgroup> dbiases: array<${T}, WG>;`,
      code: /* wgsl */ `
    ${w.places}
    ${numbers.map((n) => `var w_${n}: ${T}; var b_${n}: ${T};`).join(" ")}
    ${sums}
    ${numbers
      .map(
        (n) => /* wgsl */ `
    dweights[place % WG] = w_${n};
    dbiases[place % WG] = b_${n};
    workgroupBarrier();
    if (place < ${threads}u && ${column(n)} < p.len) {
      var w = dweights[own];
      var b = dbiases[own];
      for (var team = 1u; team < ${teams}u; team++) { w += dweights[team * ${threads}u + own]; b += dbiases[team * ${threads}u + own]; }
      dweight[group * p.len + ${column(n)}] = w;
      dbias[group * p.len + ${column(n)}] = b;
    }
    workgroupBarrier();`,
      )
      .join("")}`,
    });
  }
});

interface Attrs {
  readonly eps: number;
  readonly variant: RowVariant;
}

function plan(x: Tensor, { variant }: Attrs, adds: boolean) {
  const D = x.shape.at(-1)!;
  const rows = x.size / D;
  const W = widthOf(variant, D),
    shape = rowShape(variant, D);
  const w = rowWords(shape);
  return {
    ...kernels({ shape, adds, W }),
    shape,
    D,
    rows,
    len: D / W,
    groups: w.groups(rows),
    workgroup: w.workgroup,
    teams: shape.kind === "team" ? rowWords(shape, STRIPED).workgroup / shape.threads : 0,
  };
}

/** How the backward's rows are cut: their stripes' length, and workgroups. */
function cut({ shape, rows, len, groups, workgroup, teams }: ReturnType<typeof plan>) {
  if (shape.kind === "team") {
    const stripe = Math.ceil(Math.max(LEAST, rows / WORKGROUPS) / teams) * teams;
    const stripes = Math.ceil(rows / stripe);
    return { stripe, stripes, columns: 0, groups: stripes };
  }
  const stripe = shape.kind === "register" ? rows : STRIPE;
  const stripes = Math.ceil(rows / stripe);
  const columns = Math.ceil((len * LANES[shape.kind]) / workgroup);
  return { stripe, stripes, columns, groups: columns * stripes + groups };
}

const op = defineOp({
  name: "layerNorm",
  accumulates: 0,
  forward([x, weight, bias]: [Tensor, Tensor, Tensor], attrs: Attrs) {
    const D = x.shape.at(-1) ?? 0;
    if (!sameShape(weight.shape, [D]) || !sameShape(bias.shape, [D])) {
      throw new Error(
        `layerNorm: expected weight and bias [${D}] for x ${show(x.shape)}, got ${show(weight.shape)} and ${show(bias.shape)}`,
      );
    }
    const { forward, rows, len, groups } = plan(x, attrs, false);
    const { y, stats } = forward({
      inputs: { x, weight, bias },
      outputs: { y: x.shape, stats: [rows, 2] },
      store: { y: x.dtype },
      params: { rows, len, eps: attrs.eps },
      groups,
    });
    return { y, saved: stats };
  },
  backward(dy, stats, [x, weight], attrs, _, sofar) {
    const planned = plan(x, attrs, sofar !== null);
    const { backward, D, rows, len } = planned;
    const { groups, ...parts } = cut(planned);
    const { dx, dweight, dbias } = backward({
      inputs: { dy, x, weight, stats, ...(sofar ? { others: sofar } : {}) },
      outputs: { dx: x.shape, dweight: [parts.stripes, D], dbias: [parts.stripes, D] },
      store: { dx: x.dtype },
      params: { rows, len, ...parts },
      groups,
    });
    return [dx, ...(parts.stripes === 1 ? ([dweight.view([D]), dbias.view([D])] as const) : addParts([dweight, dbias]))];
  },
});

export interface LayerNormOptions {
  readonly eps?: number;
  /** Chosen by the adapter unless given. */
  readonly variant?: RowVariant | undefined;
}

/** x: (..., D); weight, bias: (D). Returns (..., D). */
export const layerNorm = (x: Tensor, weight: Tensor, bias: Tensor, { eps = 1e-6, variant }: LayerNormOptions = {}): Tensor =>
  op([x, weight, bias], { eps, variant: rowVariant("layerNorm", x, variant) });
