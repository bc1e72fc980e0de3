/** The launches of DeiT's training step and forward on a GPU on paper: kernels, bytes, and each product's tile, cuts and waves. */
import { noGrad } from "../../engine/autograd.ts";
import { joined, sumsOf } from "../../kernels/shared/join-launches.ts";
import { withRecorder, type Launch } from "../../engine/launch.ts";
import { Tensor } from "../../engine/tensor.ts";
import { numel } from "../../engine/shape.ts";
import type { Gemm } from "../../kernels/gemm/describe.ts";
import type { Choice } from "../../kernels/gemm/choose.ts";
import { productsOf } from "../../kernels/gemm/gemm.ts";
import { createModel } from "../../models/model.ts";
import { storedModel, storedParams } from "../../models/mixed-precision.ts";
import { loadParams, ParameterStore } from "../../models/params.ts";
import { Optimizer } from "../../train/optimizer.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { makeStepInput } from "../../train/input/step-input.ts";
import { draftStep } from "../../train/step.ts";
import { onPaper, type PaperGPU } from "./gpu.ts";

export interface PaperProduct {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly matrices: number;
  /** How each operand is stored. */
  readonly order: string;
  /** Of C per workgroup. */
  readonly bm: number;
  readonly bn: number;
  readonly bk: number;
  readonly onMatrices: boolean;
  readonly splits: number;
  readonly workgroups: number;
  /** Whether loads and stores are of 16 bytes; always on tensor cores. */
  readonly vec: boolean;
  readonly sums: boolean;
  /** Bytes of an operand's element, and those that are stored and added for an element of C. */
  readonly inputBytes: number;
  readonly outputBytes: number;
}

export interface PaperLaunch {
  readonly kernel: string;
  readonly groups: number;
  /** Of all its buffers; twice those of one that is read and written. */
  readonly bytes: number;
  readonly product: PaperProduct | null;
}

export interface PaperRun {
  readonly model: "deit_tiny_patch16_224" | "deit_small_patch16_224" | "deit_base_patch16_224";
  readonly mode: "train" | "forward";
  readonly dtype: "f32" | "f16";
  readonly batch: number;
  /** Training with all that DeiT's recipe has: images as bytes, augmented and mixed, stochastic depth, the weights' average. */
  readonly augmented?: boolean;
}

/** Unless augmented, images as floats come in; no mixing, no average of the weights: what bench/gpu times. */
export function paperLaunches(gpu: PaperGPU, { model: name, mode, dtype, batch, augmented }: PaperRun): PaperLaunch[] {
  return onPaper(gpu, () => {
    const launches: Launch[] = [];
    const whole = createModel(name),
      model = storedModel(whole, dtype);
    const x = Tensor.zeros([batch, ...whole.imageShape]);
    const body = mode === "train" ? training() : forward();
    const products = productsOf(() => void withRecorder({ launches }, body));
    const next = products.values();
    return joined(launches).map((launch): PaperLaunch => {
      const isProduct = /^gemm\.(?!reduce)/.test(launch.pipeline.label);
      return { ...costs(launch), product: isProduct ? shown(...next.next().value!, launch) : null };
    });

    function forward(): () => unknown {
      const params = storedParams(loadParams("paper", whole.params, null), dtype);
      return () => noGrad(() => model.forward(params, x));
    }

    function training(): () => unknown {
      const recipe = makeRecipe({
        ...{ batchSize: batch, distillation: "none", dtype },
        ...(augmented ? {} : { emaDecay: null, mixup: 0, cutmix: 0, dropPath: 0, repeats: 1 }),
      });
      const images = augmented
        ? makeStepInput({
            model: whole,
            recipe,
            seed: 0,
            normalization: { mean: [0, 0, 0], std: [1, 1, 1] },
            train: { shape: [3, 224, 224] },
          })
        : null;
      const input = (patch?: number) => images?.launch(patch) ?? x;
      const store = new ParameterStore("paper", whole.params, null, undefined, dtype);
      return draftStep({ model, store, optimizer: new Optimizer(recipe, store), recipe, input, teacher: null }).batch;
    }
  });
}

function costs(launch: Launch) {
  const { pipeline, bindings, groups } = launch;
  const sums = sumsOf(launch);
  const bytes = bindings.reduce((sum, { bytes, access }) => sum + bytes * (access === "update" ? 2 : 1), 0);
  // Launches that were joined write ranges of a buffer, all of which is bound.
  const beyond = bindings.reduce((sum, { bytes, access }) => (sums.length > 0 && access === "update" ? sum + 2 * bytes : sum), 0);
  const own = beyond > 0 ? sums.reduce((sum, { y }) => sum + y.bytes, 0) : 0;
  return { kernel: pipeline.label, groups: numel(groups), bytes: bytes - beyond + own };
}

function shown(g: Gemm, { tile, splits }: Choice, { groups, pipeline }: Launch): PaperProduct {
  const { M, N, K, a, b, batch = [] } = g;
  const input = a.tensor.dtype === "f16" ? 2 : 4,
    stored = splits > 1 ? 4 : (g.store ?? a.tensor.dtype) === "f16" ? 2 : 4;
  const others = splits > 1 ? 0 : [g.preActivation, g.residual, g.gradOf, g.softmax].filter(Boolean).length;
  const onMatrices = "bm" in tile;
  return {
    ...{ M, N, K, matrices: numel(batch), order: `${a.transposed ? "T" : "N"}${b.transposed ? "T" : "N"}` },
    ...(onMatrices ? { bm: tile.bm, bn: tile.bn, bk: tile.bk } : { bm: tile.y * tile.tm, bn: tile.x * tile.tn, bk: tile.bk }),
    ...{ onMatrices, splits, workgroups: numel(groups), vec: onMatrices || /a: array<vec4/.test(pipeline.code), sums: g.sums === true },
    ...{ inputBytes: input, outputBytes: stored + others * input },
  };
}
