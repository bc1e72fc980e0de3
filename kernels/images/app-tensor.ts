/** `Tensor` as the main entry exports it: also made of pictures and of an app's buffers. Bundles that import tensor.ts omit both. */
import { placedImage, type ImageSource, type ImageSteps } from "./image.ts";
import { allocate, borrow } from "../../engine/memory.ts";
import { numel, show, type Shape } from "../../engine/shape.ts";
import { checkedBytes, Tensor as Plain, type DType } from "../../engine/tensor.ts";

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

/**
 * A tensor over an app's buffer, starting at byte `offset` (a multiple of 256). Borrowed: `dispose()` leaves the buffer alone, and no
 * counter counts it. The buffer must belong to this device and have usage STORAGE; reading needs COPY_SRC, writing COPY_DST.
 */
function fromBuffer(
  buffer: GPUBuffer,
  shape: Shape,
  { dtype = "f32", offset = 0 }: { readonly dtype?: DType; readonly offset?: number } = {},
): Plain {
  const bytes = checkedBytes("Tensor.fromBuffer", shape, dtype);
  if (!(buffer.usage & GPUBufferUsage.STORAGE))
    throw new Error(`Tensor.fromBuffer: expected a buffer with the usage STORAGE, got usage ${buffer.usage}`);
  if (!Number.isInteger(offset) || offset < 0 || offset % 256 !== 0)
    throw new Error(`Tensor.fromBuffer: expected an offset that is a multiple of 256 bytes, got ${offset}`);
  const needed = offset + Math.ceil(bytes / 4) * 4;
  if (needed > buffer.size)
    throw new Error(`Tensor.fromBuffer: expected at least ${needed} bytes for ${dtype} ${show(shape)}, got ${buffer.size}`);
  return new Plain(shape, dtype, borrow(buffer), offset);
}

export const Tensor = /* @__PURE__ */ Object.assign(Plain, { fromImage, fromBuffer });
export type Tensor = Plain;
