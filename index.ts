/** The package's main entry: names only. A bundle holds what is used of them. */
export { gradients, noGrad, defineOp } from "./engine/autograd.ts";
export {
  adapterName,
  closeDevice,
  Device,
  getDevice,
  initDevice,
  type AdapterDescription,
  type GpuOptions,
  type Stats,
} from "./engine/device.ts";
export { AdapterError, DeviceLostError, OutOfMemoryError, ShaderError, StalePlanError, ValidationError } from "./engine/errors.ts";
export type { ImageSource, ImageSteps } from "./kernels/images/image.ts";
export { defineKernel, kernelFamily } from "./engine/kernel.ts";
export { keep, scope } from "./engine/memory.ts";
export { record, type Plan, type RecordOptions } from "./engine/plan.ts";
export { profile, type LaunchTime } from "./train/profile.ts";
export { Random } from "./kernels/shared/random.ts";
export { place } from "./kernels/shared/place.ts";
export { constant, Scalars } from "./kernels/shared/scalars.ts";
export { Tensor } from "./kernels/images/app-tensor.ts";
export { readAll, type DType } from "./engine/tensor.ts";

export { attention, attentionPacked } from "./kernels/attention.ts";
export { normalizeImages } from "./kernels/augment/normalize.ts";
export { batchNorm } from "./kernels/batch-norm.ts";
export { binaryCrossEntropy } from "./kernels/binary-cross-entropy.ts";
export { conv2d } from "./kernels/conv2d.ts";
export { cosineLoss } from "./kernels/cosine-loss.ts";
export { crossEntropy } from "./kernels/cross-entropy.ts";
export { depthwiseConv } from "./kernels/depthwise-conv.ts";
export { add, gelu, mul, relu, scale, sigmoid, silu } from "./kernels/elementwise.ts";
export { globalAvgPool } from "./kernels/global-avg-pool.ts";
export { maxPool2d } from "./kernels/max-pool.ts";
export { klDistillation } from "./kernels/kl-distillation.ts";
export { layerNorm } from "./kernels/layer-norm.ts";
export { linear } from "./kernels/linear.ts";
export { matmul } from "./kernels/matmul.ts";
export { mlp } from "./kernels/mlp.ts";
export { concat, expand, permute, reshape, slice } from "./kernels/movement.ts";
export { smoothL1Loss } from "./kernels/smooth-l1-loss.ts";
export { rmsNorm } from "./kernels/rms-norm.ts";
export { rotary } from "./kernels/rotary.ts";
export { logSoftmax, softmax } from "./kernels/softmax.ts";
export { swiglu } from "./kernels/swiglu.ts";

export { attentionMaps, attentionWeights, type AttentionMap as ModelAttention } from "./models/attention-maps.ts";
export { createModel, modelNames, type Model } from "./models/model.ts";
export { countParams, initialState, loadParams, ParameterStore, type Params, type State } from "./models/params.ts";
export { loadUrl, pageCache, type DownloadCache } from "./models/checkpoints/url.ts";
export { readWeights, writeWeights } from "./models/checkpoints/weights.ts";
export { PROTOCOLS, preprocessing, type Preprocessing, type Protocol } from "./models/images/protocols.ts";

export { CIFAR10_MEAN, CIFAR10_STD, parseCifar, type ImageSet } from "./train/data/dataset.ts";
export { debug, type DebugReport, type LaunchRanges, type NotFinite, type Range, type TensorRange } from "./train/debug.ts";
export { describeNotFinite, rangesByLayer, type LayerRanges } from "./train/debug-text.ts";
export { estimate, type EstimateOptions, type MemoryEstimate } from "./train/estimate.ts";
export { Evaluator, score, type Evaluation, type Score } from "./train/evaluate.ts";
export { memoryOnly } from "./train/input/memory.ts";
export { memorySource } from "./train/input/source.ts";
export { train, type TrainOptions, type TrainResult } from "./train/train.ts";
export type { EpochMetrics, StepMetrics } from "./train/metrics.ts";
export { makeRecipe, type Recipe } from "./train/recipe.ts";

export type * from "./tasks/api.ts";
export { ExamplesError, PictureError, StoreError, WeightsError } from "./tasks/errors.ts";
export { loadModel } from "./tasks/load-model.ts";
export { indexedDb, opfs } from "./tasks/stores.ts";
