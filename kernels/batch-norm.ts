/**
 * Batch normalization of each channel over batch and image, with an optional ReLU behind it.
 *
 *   y = n * weight + bias,   n = (x - mean) * rstd,   rstd = 1 / sqrt(variance + eps);   with relu, y = max(that, 0)
 *
 * In training, mean and (biased) variance are the batch's, and the running statistics are updated:
 * running = (1 - momentum) * running + momentum * batch, with the unbiased variance. In inference the running statistics are used.
 *
 * Backward, with g = dy, masked by y > 0 with relu, and means and sums over a channel's N = B * P values:
 *
 *   dx = weight * rstd * (g - mean(g) - n * mean(g * n)) in training,   dx = weight * rstd * g otherwise
 *   dweight = sum of g * n,   dbias = sum of g
 *
 * Sums have two stages, stripes of images and then all stripes; variances of stripes are combined as in Chan et al. 1979.
 *
 * Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167
 */
import { defineOp } from "../engine/autograd.ts";
import { getDevice } from "../engine/device.ts";
import { defineKernel, kernelFamily } from "../engine/kernel.ts";
import { sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { wideWorkgroup } from "./shared/wide-workgroup.ts";
import { channelWords, ROWS, typesOf, type BatchNormVariant, type ChannelLayout, type Stripes } from "./rows/channels.ts";
import { subgroupLanes } from "./rows/rows.ts";

export { BATCH_NORM_VARIANTS, type BatchNormVariant } from "./rows/channels.ts";

const WG = 64;

const statsKernel = kernelFamily((stripes: Stripes) => {
  const { elem, type, add, at, width } = typesOf(stripes);
  const { workgroup, helpers, needs, setup, each, sum, one } = channelWords(stripes);
  // Reads x twice; or once, by differences from the thread's first values, so that squares do not cancel, then from the mean.
  const twice = /* wgsl */ `
    var s = ${type}();
    ${each((i) => `s += x[${at(i)}];`)}
    var m = ${add("s")};
    ${sum("m")}
    m /= f32((end - start) * ${width}u);
    var q = ${type}();
    ${each((i) => `let d = x[${at(i)}] - m; q += d * d;`)}
    var square = ${add("q")};`;
  const once = /* wgsl */ `
    var near = ${type}();
    if (start + place < end) { near = x[${at("(start + place)")}]; }
    var s = ${type}();
    var q = ${type}();
    var n = 0.0;
    ${each((i) => `let d = x[${at(i)}] - near; s += d; q += d * d; n += 1.0;`)}
    var m = ${add("(n * near + s)")};
    ${sum("m")}
    m /= f32((end - start) * ${width}u);
    let mean = s / max(n, 1.0);
    let off = near + mean - m;
    var square = ${add("(q - s * mean + n * off * off)")};`;
  return defineKernel({
    name: "batchNorm.stats",
    inputs: { x: elem }, // (B, C, P)
    outputs: { means: "f32", squares: "f32" }, // (S, C): of each stripe, the mean and the sum of squared differences from it
    params: { B: "u32", C: "u32", images: "u32" },
    workgroup,
    helpers,
    needs,
    code: /* wgsl */ `
    ${setup}
    ${stripes.variant === "once" ? once : twice}
    ${sum("square")}
    if (${one}) { means[wid.y * p.C + c] = m; squares[wid.y * p.C + c] = square; }`,
  });
});

// One thread per channel.
const combineKernel = defineKernel({
  name: "batchNorm.combine",
  inputs: { means: "f32", squares: "f32" }, // (S, C)
  updates: { runningMean: "f32", runningVar: "f32" }, // (C)
  outputs: { stats: "f32" }, // (2, C): mean, rstd
  params: { B: "u32", C: "u32", P: "u32", images: "u32", stripes: "u32", eps: "f32", momentum: "f32" },
  workgroup: WG,
  code: /* wgsl */ `
    let c = group * WG + li;
    if (c >= p.C) { return; }
    var n = 0.0; var m = 0.0; var q = 0.0;
    for (var s = 0u; s < p.stripes; s++) {
      let k = f32(min(p.images, p.B - s * p.images) * p.P);
      let d = means[s * p.C + c] - m;
      q += squares[s * p.C + c] + d * d * n * k / (n + k);
      m += d * k / (n + k);
      n += k;
    }
    stats[c] = m;
    stats[p.C + c] = inverseSqrt(q / n + p.eps);
    // One bad batch must not spoil the model for good.
    let finite = (bitcast<u32>(m) & 0x7f800000u) != 0x7f800000u && (bitcast<u32>(q) & 0x7f800000u) != 0x7f800000u;
    if (finite) {
      runningMean[c] = mix(runningMean[c], m, p.momentum);
      runningVar[c] = mix(runningVar[c], q / (n - 1.0), p.momentum);
    }`,
});

// One thread per channel.
const runningKernel = defineKernel({
  name: "batchNorm.running",
  inputs: { mean: "f32", variance: "f32" }, // (C)
  outputs: { stats: "f32" }, // (2, C): mean, rstd
  params: { C: "u32", eps: "f32" },
  workgroup: WG,
  code: /* wgsl */ `
    let c = group * WG + li;
    if (c < p.C) { stats[c] = mean[c]; stats[p.C + c] = inverseSqrt(variance[c] + p.eps); }`,
});

// One thread per vector of a channel (wid.y).
const normalizeKernel = kernelFamily(
  ({ relu, wide, ...layout }: Pick<Stripes, keyof ChannelLayout | "wide"> & { readonly relu: boolean }) => {
    const { elem, type, at } = typesOf(layout);
    return defineKernel({
      name: "batchNorm.normalize",
      inputs: { x: elem, stats: "f32", weight: "f32", bias: "f32" }, // (B, C, P), (2, C), (C), (C)
      outputs: { y: elem }, // (B, C, P)
      params: { C: "u32", n: "u32" },
      workgroup: wide,
      code: /* wgsl */ `
    let i = wid.x * WG + li;
    if (i >= p.n) { return; }
    let c = wid.y;
    let at = ${at("i")};
    let v = (x[at] - stats[c]) * (stats[p.C + c] * weight[c]) + bias[c];
    y[at] = ${relu ? `max(v, ${type}())` : "v"};`,
    });
  },
);

/** g from dy, at `at`. */
const upstream = (relu: boolean, type: string): string => (relu ? `select(${type}(), dy[at], y[at] > ${type}())` : "dy[at]");

const sumsKernel = kernelFamily((stripes: Stripes) => {
  const { elem, type, add, at } = typesOf(stripes);
  const { workgroup, helpers, needs, setup, each, sum, one } = channelWords(stripes);
  return defineKernel({
    name: "batchNorm.backwardSums",
    inputs: { x: elem, dy: elem, stats: "f32", y: `${elem}?` }, // (B, C, P), (B, C, P), (2, C), (B, C, P)
    outputs: { gn: "f32", g: "f32" }, // (S, C): sums of g * n and of g
    params: { B: "u32", C: "u32", images: "u32" },
    workgroup,
    helpers,
    needs,
    code: (_, has) => /* wgsl */ `
    ${setup}
    let m = stats[c]; let r = stats[p.C + c];
    var sg = ${type}(); var sgn = ${type}();
    ${each(
      (i) => `
      let at = ${at(i)};
      let v = ${upstream(has.y, type)};
      sg += v;
      sgn += v * (x[at] - m) * r;
    `,
    )}
    var totalGN = ${add("sgn")};
    var totalG = ${add("sg")};
    ${sum("totalGN", "totalG")}
    if (${one}) { gn[wid.y * p.C + c] = totalGN; g[wid.y * p.C + c] = totalG; }`,
  });
});

// One thread per channel.
const sumStripesKernel = defineKernel({
  name: "batchNorm.sumStripes",
  inputs: { gn: "f32", g: "f32" }, // (S, C)
  outputs: { dweight: "f32", dbias: "f32" }, // (C)
  params: { C: "u32", stripes: "u32" },
  workgroup: WG,
  code: /* wgsl */ `
    let c = group * WG + li;
    if (c >= p.C) { return; }
    var w = 0.0; var b = 0.0;
    for (var s = 0u; s < p.stripes; s++) { w += gn[s * p.C + c]; b += g[s * p.C + c]; }
    dweight[c] = w;
    dbias[c] = b;`,
});

// One thread per vector of a channel (wid.y). `share`: 1 / N in training, 0 where mean and variance are constants.
const inputKernel = kernelFamily(({ wide, ...layout }: Pick<Stripes, keyof ChannelLayout | "wide">) => {
  const { elem, type, at } = typesOf(layout);
  return defineKernel({
    name: "batchNorm.backwardInput",
    inputs: { x: elem, dy: elem, stats: "f32", weight: "f32", dweight: "f32", dbias: "f32", y: `${elem}?` },
    outputs: { dx: elem }, // (B, C, P)
    params: { C: "u32", n: "u32", share: "f32" },
    workgroup: wide,
    code: (_, has) => /* wgsl */ `
    let i = wid.x * WG + li;
    if (i >= p.n) { return; }
    let c = wid.y;
    let at = ${at("i")};
    let r = stats[p.C + c];
    let n = (x[at] - stats[c]) * r;
    dx[at] = weight[c] * r * (${upstream(has.y, type)} - p.share * (dbias[c] + n * dweight[c]));`,
  });
});

export interface BatchNormOptions {
  /** Normalise by the batch's statistics, and update the running ones. */
  readonly training?: boolean;
  readonly eps?: number;
  readonly momentum?: number;
  /** Apply max(y, 0) as well. */
  readonly relu?: boolean;
  /** Default: chosen for the adapter. */
  readonly variant?: BatchNormVariant | undefined;
}

// Workgroups needed to fill the adapter; with fewer channels than this, channels are cut into more stripes.
const WORKGROUPS = { shared: 1024, register: 1024, once: 2048 } as const;

const op = defineOp({
  name: "batchNorm",

  forward(
    [x, weight, bias, runningMean, runningVar]: [Tensor, Tensor, Tensor, Tensor, Tensor],
    { training = false, eps = 1e-5, momentum = 0.1, relu = false, variant: given }: BatchNormOptions,
  ) {
    if (x.shape.length < 2) throw new Error(`batchNorm: expected x [B,C,...], got ${show(x.shape)}`);
    const [B, C] = x.shape as [number, number];
    for (const [name, t] of Object.entries({ weight, bias, runningMean, runningVar })) {
      if (!sameShape(t.shape, [C])) throw new Error(`batchNorm: expected ${name} [${C}] for x ${show(x.shape)}, got ${show(t.shape)}`);
    }
    const P = x.size / (B * C);
    if (training && B * P < 2) throw new Error(`batchNorm: expected at least 2 values per channel in training, got x ${show(x.shape)}`);
    const layout = P % 4 === 0 ? { P: P / 4, vec: true } : { P, vec: false };
    const variant = given ?? (getDevice().adapter.software ? "register" : "once");
    const images = Math.ceil(B / Math.min(B, Math.ceil(WORKGROUPS[variant] / C)));
    const wide = wideWorkgroup();
    const lanes = variant === "once" ? Math.min(wide, subgroupLanes()) : 1;
    const stripes = Math.ceil(B / images);
    const grid = { params: { B, C, images }, groups: [variant === "register" ? Math.ceil(C / ROWS) : C, stripes] } as const;
    const stats = training
      ? combineKernel({
          inputs: statsKernel({ ...layout, variant, lanes, wide })({
            inputs: { x },
            outputs: { means: [stripes, C], squares: [stripes, C] },
            ...grid,
          }),
          updates: { runningMean, runningVar },
          outputs: { stats: [2, C] },
          params: { B, C, P, images, stripes, eps, momentum },
          threads: C,
        }).stats
      : runningKernel({ inputs: { mean: runningMean, variance: runningVar }, outputs: { stats: [2, C] }, params: { C, eps }, threads: C })
          .stats;
    const n = B * layout.P;
    const { y } = normalizeKernel({ ...layout, relu, wide })({
      inputs: { x, stats, weight, bias },
      outputs: { y: x },
      params: { C, n },
      groups: [Math.ceil(n / wide), C],
    });
    return { y, saved: { y, stats, layout: { ...layout, variant, lanes, wide }, grid } };
  },

  backward(dy, { y, stats, layout, grid }, [x, weight], { training = false, relu = false }, needs) {
    const { B, C } = grid.params;
    const stripes = grid.groups[1];
    const masked = { y: relu ? y : null };
    const parts = sumsKernel(layout)({ inputs: { x, dy, stats, ...masked }, outputs: { gn: [stripes, C], g: [stripes, C] }, ...grid });
    const { dweight, dbias } = sumStripesKernel({
      inputs: parts,
      outputs: { dweight: [C], dbias: [C] },
      params: { C, stripes },
      threads: C,
    });
    const n = B * layout.P;
    const dx = () =>
      inputKernel({ P: layout.P, vec: layout.vec, wide: layout.wide })({
        inputs: { x, dy, stats, weight, dweight, dbias, ...masked },
        outputs: { dx: x },
        params: { C, n, share: training ? C / x.size : 0 },
        groups: [Math.ceil(n / layout.wide), C],
      }).dx;
    return [needs[0] ? dx() : null, dweight, dbias, null, null];
  },
});

/**
 * x: (B, C, ...), all others: (C). Returns the shape of x. In training, `runningMean` and `runningVar` are changed in place,
 * unless the batch's statistics are not finite; no gradient reaches them.
 */
export const batchNorm = (
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  runningMean: Tensor,
  runningVar: Tensor,
  options: BatchNormOptions = {},
): Tensor => op([x, weight, bias, runningMean, runningVar], options);
