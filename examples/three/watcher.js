/** A vision transformer that watches a texture, on the app's device: its answer and its attention stay on the GPU until they are asked for. */
import { attentionWeights, createModel, initDevice, loadParams, matmul, noGrad, place, preprocessing, readWeights, record, reshape, slice, Tensor } from "tessera-gpu";

/**
 * `bytes`: a file that `save()` wrote. `mapOf(patches)` gives the app's GPUBuffer of that many f32 values, into which each frame's attention
 * is written: how much the class token attends to each patch in the last block, by rows, the mean over heads.
 */
export async function watch(device, bytes, mapOf) {
  await initDevice({ device });
  const { info, state } = readWeights(bytes);
  const model = createModel(info.config);
  const { imgSize: size, patchSize, depth, heads, distilled } = model.config;
  const params = loadParams(model.name, model.params, state);
  const steps = preprocessing("timm", model.name, size);
  const side = size / patchSize;
  const map = Tensor.fromBuffer(mapOf(side * side), [1, side * side]);
  const x = Tensor.zeros([1, 3, size, size]);
  const mean = Tensor.from(new Array(heads).fill(1 / heads), [1, heads]);

  const plan = await record(() =>
    noGrad(() => {
      let qkv;
      const last = `blocks.${depth - 1}.attn.qkv`;
      const { logits } = model.forward(params, x, { tap: (name, tensor) => name === last && (qkv = tensor) });
      const first = distilled ? 2 : 1; // the patches come after the class token, and the distillation token
      const seen = slice(slice(attentionWeights(qkv, heads), 2, 0, 1), 3, first, first + side * side);
      place(matmul(mean, reshape(seen, [heads, side * side])), map);
      return logits;
    }),
  );

  return {
    side,
    /** Looks at the texture as it is now. Returns at once. */
    look(texture) {
      const picture = Tensor.fromImage(texture, steps);
      place(picture, x);
      picture.dispose();
      plan.run();
    },
    /** The class of what was looked at last. */
    async answer() {
      const logits = [...(await plan.result.floats())];
      const best = logits.indexOf(Math.max(...logits));
      return info.classes?.[best] ?? `class ${best}`;
    },
  };
}
