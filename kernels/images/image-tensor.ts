/** `Tensor` with `fromImage`, as the main entry exports it. Separate from tensor.ts, so that bundles without pictures omit it. */
import { placedImage, type ImageSource, type ImageSteps } from "./image.ts";
import { allocate } from "../../engine/memory.ts";
import { numel } from "../../engine/shape.ts";
import { Tensor as Plain } from "../../engine/tensor.ts";

/**
 * A picture, or an app's texture (usage TEXTURE_BINDING), as a model's input: resized and cropped by `steps`, with
 * Pillow's arithmetic to the bit, then normalised. Two launches; nothing is read back. Returns (1, 3, size, size) f32.
 */
function fromImage(image: ImageSource, steps: ImageSteps & { readonly mean: readonly number[]; readonly std: readonly number[] }): Plain {
  const shape = [1, 3, steps.size, steps.size];
  const tensor = new Plain(shape, "f32", allocate(4 * numel(shape), "image"));
  placedImage("Tensor.fromImage", image, steps, { storage: tensor.storage, normalization: steps });
  return tensor;
}

export const Tensor = /* @__PURE__ */ Object.assign(Plain, { fromImage });
export type Tensor = Plain;
