/** Vision transformers whose head, or whose features, are of a pool of tokens: DINOv2, MAE, and others with `pool` or `fcNorm`. */
import { linear } from "../kernels/linear.ts";
import { concat, reshape, slice } from "../kernels/movement.ts";
import { mean } from "../kernels/shared/reduce.ts";
import type { Tensor } from "../engine/tensor.ts";
import { encode, ended, normed, type DeitOptions, type DeitOutput } from "./deit.ts";
import { prefixTokens, tokens, type DeitConfig } from "./deit-config.ts";
import type { Params } from "./params.ts";

/** Any model with one head. x: as of `encode`. */
export function pooledVit(p: Params, x: Tensor, c: DeitConfig, options: DeitOptions = {}): DeitOutput {
  const all = ended(p, encode(p, x, c, options, c.pool === "cls" ? 1 : tokens(c)), c);
  const cls = () => reshape(slice(all, 1, 0, 1), [all.shape[0]!, c.dim]);
  const patchMean = () => mean(slice(all, 1, prefixTokens(c), tokens(c)), 1);
  const pooled = c.pool === "cls" ? cls() : c.pool === "mean" ? patchMean() : concat([cls(), patchMean()], 1);
  const features = c.fcNorm ? normed(p, "fc_norm", pooled, c) : pooled;
  const logits = c.numClasses > 0 ? linear(features, p["head.weight"]!, p["head.bias"]!) : features;
  return { logits, logitsCls: logits, logitsDist: null };
}
