/**
 * Feature distillation: a student's patches learn to say what its teacher's say, through a linear map that is learned beside and then thrown
 * away.
 *
 *   distill = distance(linear(student's patches), teacher's patches),   cosine or smooth L1
 *
 * Patches are the last block's after the norm of a transformer, the last stage's pixels of a convolutional network. Where the grids differ,
 * the teacher's is interpolated to the student's. Wei et al. 2022, https://arxiv.org/abs/2205.14141
 */
import { noGrad } from "../engine/autograd.ts";
import type { Tensor } from "../engine/tensor.ts";
import { cosineLoss } from "../kernels/cosine-loss.ts";
import { linear } from "../kernels/linear.ts";
import { permute, reshape, slice } from "../kernels/movement.ts";
import { resizePosEmbed } from "../kernels/resize-pos-embed.ts";
import { smoothL1Loss } from "../kernels/smooth-l1-loss.ts";
import { prefixTokens } from "../models/deit.ts";
import type { Model } from "../models/model.ts";
import type { Params, ParamSpec } from "../models/params.ts";
import type { Recipe } from "./recipe.ts";

const PREFIX = "distill_proj.";

/** Whether a parameter belongs to the learned map, and not to the model. */
export const isProjection = (name: string): boolean => name.startsWith(PREFIX);

/** Numbers of one patch. */
const widthOf = ({ config, featureWidth }: Model): number => (config.arch === "deit" ? config.dim : featureWidth);

/** The map of the student's width to the teacher's, as PyTorch's Linear begins. */
export function projectionParams(student: Model, teacher: Model): ParamSpec[] {
  const [I, O] = [widthOf(student), widthOf(teacher)];
  const spec = (name: string, shape: readonly number[]): ParamSpec => ({
    name: `${PREFIX}${name}`,
    shape,
    init: { kind: "uniform", bound: 1 / Math.sqrt(I) },
    trainable: true,
    decay: shape.length > 1,
  });
  return [spec("weight", [O, I]), spec("bias", [O])];
}

/** Keeps what a forward shows of its patches: pass `tap`, then ask `rows`, (B, P, D). */
export function patchTap({ config }: Pick<Model, "config">): { tap(name: string, value: Tensor): void; rows(): Tensor } {
  let last: Tensor | null = null;
  const wanted = config.arch === "deit" ? /^norm$/ : /^s\d$/; // of the stages the last stays
  return {
    tap: (name, value) => wanted.test(name) && (last = value),
    rows() {
      if (config.arch === "deit") return slice(last!, 1, prefixTokens(config), last!.shape[1]!);
      const [B, C, H, W] = last!.shape as [number, number, number, number];
      return reshape(permute(last!, [0, 2, 3, 1]), [B, H * W, C]);
    },
  };
}

/** rows: (B, P, D) of a square grid. Returns (B, count, D), bicubic. */
function onGrid(rows: Tensor, count: number): Tensor {
  const [B, P, D] = rows.shape as [number, number, number];
  if (P === count) return rows;
  const side = Math.sqrt(count);
  const columns = reshape(permute(rows, [1, 0, 2]), [1, P, B * D]);
  return permute(reshape(resizePosEmbed(columns, { prefix: 0, height: side, width: side }), [count, B, D]), [1, 0, 2]);
}

/** student: (B, P, D), teacher: (B, Q, E), of square grids. Returns (). */
export function featureLoss(params: Params, student: Tensor, teacher: Tensor, kind: Recipe["featureLoss"]): Tensor {
  const target = noGrad(() => onGrid(teacher, student.shape[1]!));
  const made = linear(student, params[`${PREFIX}weight`]!, params[`${PREFIX}bias`]!);
  return kind === "cosine" ? cosineLoss(made, target) : smoothL1Loss(made, target);
}
