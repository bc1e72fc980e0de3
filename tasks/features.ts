/** What features are taken from, and how they become one vector or a row for each patch. */
import type { Tensor } from "../engine/tensor.ts";
import { globalAvgPool } from "../kernels/global-avg-pool.ts";
import { slice } from "../kernels/movement.ts";
import { prefixTokens, tokens } from "../models/deit.ts";
import { createModel, type Model } from "../models/model.ts";
import type { FeatureOptions } from "./api.ts";
import type { Pass } from "./runtime.ts";

export interface FeaturePass {
  /** Stands for the options. */
  readonly name: string;
  readonly pass: Pass;
  /** The pass's values of one picture: [D]; with pool "none" all tokens (N, D), or channels (C, H, W). */
  vector(values: Float32Array): Float32Array;
}

/** Throws where the model has no such block or pooling. */
export function featurePass({ config, name: model }: Model, { pool, block }: FeatureOptions): FeaturePass {
  const transformer = config.arch === "deit";
  const stages = transformer ? config.depth : 4;
  if (block !== undefined && (!Number.isInteger(block) || block < 0 || block >= stages))
    throw new Error(`features: expected a block from 0 to ${stages - 1} of ${model}, got ${block}`);
  const how = pool ?? (transformer ? "cls" : "mean");
  if (!transformer && how === "cls") throw new Error(`features: expected pool "mean" or "none" of a convolutional network, got "cls"`);
  const wanted = transformer ? (block === undefined ? "norm" : `blocks.${block}`) : `s${block === undefined ? "" : block + 1}`;
  const afterPool = block === undefined && how !== "none" && (config.arch === "deit" ? config.fcNorm : how === "mean");
  const pass: Pass = (m, params, x) => {
    // What the classifier reads; a ConvNeXt's is normalised after the pooling, as a transformer's with `fcNorm` is.
    if (afterPool) {
      const headless = config.arch === "deit" ? { ...config, pool: how, numClasses: 0 } : { ...config, numClasses: 0 };
      return [createModel(headless).forward(params, x).logits];
    }
    const seen: { tap?: Tensor } = {};
    // Without `block`, the last of several stages.
    m.forward(params, x, { tap: (tapped, value) => (tapped === wanted || (wanted === "s" && /^s\d$/.test(tapped))) && (seen.tap = value) });
    const all = seen.tap!;
    if (how === "cls") return [slice(all, 1, 0, 1)];
    return [how === "mean" && !transformer ? globalAvgPool(all) : all];
  };
  const pooled = how === "mean" && transformer && !afterPool;
  const vector = (values: Float32Array) => (pooled ? meanOfRows(values, tokens(config), prefixTokens(config)) : values);
  return { name: `features ${wanted} ${how}`, pass, vector };
}

/** Of one picture, with pool "none": the patches' rows (P, D), without the tokens before them. */
export function patchRows({ config }: Model, values: Float32Array): { readonly rows: Float32Array; readonly side: number } {
  if (config.arch === "deit") {
    const D = values.length / tokens(config);
    return { rows: values.slice(prefixTokens(config) * D), side: config.imgSize / config.patchSize };
  }
  throw new Error("features: expected a vision transformer for patches, got a convolutional network");
}

/** (N, D) to the mean [D] of the rows from `first` on. */
function meanOfRows(values: Float32Array, N: number, first: number): Float32Array {
  const D = values.length / N;
  const sum = new Float64Array(D);
  for (let n = first; n < N; n++) for (let d = 0; d < D; d++) sum[d]! += values[n * D + d]!;
  return Float32Array.from(sum, (v) => v / (N - first));
}
