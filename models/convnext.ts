/**
 * ConvNeXt: a convolutional network in a transformer's manner. Parameter names are timm's; inside, channels lie last, as layer norms and linear
 * layers take them.
 *
 * Liu et al. 2022, "A ConvNet for the 2020s", https://arxiv.org/abs/2201.03545
 */
import { show, type Shape } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { depthwiseConv } from "../kernels/depthwise-conv.ts";
import { dropPathFactors } from "../kernels/drop-path.ts";
import { layerNorm } from "../kernels/layer-norm.ts";
import { linear } from "../kernels/linear.ts";
import { mlp } from "../kernels/mlp.ts";
import { permute, reshape, slice } from "../kernels/movement.ts";
import { patchEmbed } from "../kernels/patch-embed.ts";
import { mean } from "../kernels/shared/reduce.ts";
import type { DeitOptions } from "./deit.ts";
import type { Init, Params, ParamSpec } from "./params.ts";
import { shownValue } from "./shown.ts";

type Four = readonly [number, number, number, number];

export interface ConvNeXtConfig {
  readonly arch: "convnext";
  readonly imgSize: number;
  /** Blocks of each stage. */
  readonly depths: Four;
  /** Channels of each stage. */
  readonly dims: Four;
  /** The linear layers' weights are [O, I, 1, 1] in files, as of timm's smaller models; the function is the same. */
  readonly convMlp: boolean;
  /** 0: no classifier, as timm's `num_classes=0`; the model gives its pooled and normalised features. */
  readonly numClasses: number;
}

const SIZES: Readonly<Record<string, Pick<ConvNeXtConfig, "depths" | "dims" | "convMlp">>> = {
  convnext_atto: { depths: [2, 2, 6, 2], dims: [40, 80, 160, 320], convMlp: true },
  convnext_femto: { depths: [2, 2, 6, 2], dims: [48, 96, 192, 384], convMlp: true },
  convnext_pico: { depths: [2, 2, 6, 2], dims: [64, 128, 256, 512], convMlp: true },
  convnext_nano: { depths: [2, 2, 8, 2], dims: [80, 160, 320, 640], convMlp: true },
  convnext_tiny: { depths: [3, 3, 9, 3], dims: [96, 192, 384, 768], convMlp: false },
};

/** The names that `convnextConfig` knows. */
export const convnextNames: readonly string[] = Object.keys(SIZES);

/** The config of `convnext_atto` to `convnext_tiny`; `null` for other names. */
export function convnextConfig(name: string): ConvNeXtConfig | null {
  const size = Object.hasOwn(SIZES, name) ? SIZES[name]! : null;
  return size && { arch: "convnext", imgSize: 224, ...size, numClasses: 1000 };
}

/** The config that a state's names and shapes tell, at 224 pixels. */
export function convnextConfigOf(state: ReadonlyMap<string, { readonly shape: Shape }>): ConvNeXtConfig {
  const blocks = (stage: number): number =>
    new Set([...state.keys()].filter((name) => name.startsWith(`stages.${stage}.blocks.`)).map((name) => name.split(".")[3])).size;
  const width = (stage: number): number => state.get(`stages.${stage}.blocks.0.gamma`)?.shape[0] ?? 0;
  return {
    arch: "convnext",
    imgSize: 224,
    depths: [blocks(0), blocks(1), blocks(2), blocks(3)],
    dims: [width(0), width(1), width(2), width(3)],
    convMlp: state.get("stages.0.blocks.0.mlp.fc1.weight")?.shape.length === 4,
    numClasses: state.get("head.fc.weight")?.shape[0] ?? 0,
  };
}

/** No network is deeper or wider, nor an image larger; what a file claims is allocated only within it. */
const MOST_DEPTH = 1000,
  MOST_WIDTH = 2 ** 16;

/** Throws for sizes that are no network's. */
export function checkConvnextConfig(c: ConvNeXtConfig): void {
  const fault = (expected: string, got: unknown): never => {
    throw new Error(`convnext: expected ${expected}, got ${shownValue(got)}`);
  };
  const within = (n: unknown, least: number, most: number): boolean =>
    Number.isInteger(n) && (n as number) >= least && (n as number) <= most;
  const four = (list: unknown, most: number): boolean => Array.isArray(list) && list.length === 4 && list.every((n) => within(n, 1, most));
  if (!within(c.imgSize, STRIDE, MOST_WIDTH)) fault(`imgSize from ${STRIDE} to ${MOST_WIDTH}`, c.imgSize);
  if (!four(c.depths, MOST_DEPTH)) fault(`four depths from 1 to ${MOST_DEPTH}`, c.depths);
  if (!four(c.dims, MOST_WIDTH)) fault(`four dims from 1 to ${MOST_WIDTH}`, c.dims);
  if (typeof c.convMlp !== "boolean") fault("convMlp true or false", c.convMlp);
  if (!within(c.numClasses, 0, MOST_WIDTH)) fault(`numClasses from 0 to ${MOST_WIDTH}`, c.numClasses);
}

const KERNEL = 7, // of a block's depthwise convolution
  STEM = 4, // side of the stem's patches
  RATIO = 4, // a block's hidden channels by its own
  STRIDE = 32, // pixels of an image's side to one of the last stage
  EPS = 1e-6;

/** Every block's name and stage, in order. */
export const convnextBlocks = (c: ConvNeXtConfig): { readonly name: string; readonly stage: number }[] =>
  c.depths.flatMap((depth, stage) => Array.from({ length: depth }, (_, i) => ({ name: `stages.${stage}.blocks.${i}`, stage })));

/** Every parameter, in state-dict order, with timm's initial values. */
export function convnextParams(c: ConvNeXtConfig): ParamSpec[] {
  const spec = (name: string, shape: number[], init: Init): ParamSpec => ({ name, shape, init, trainable: true, decay: shape.length > 1 });
  const layer = (name: string, shape: number[]) => [
    spec(`${name}.weight`, shape, { kind: "normal", std: 0.02 }),
    spec(`${name}.bias`, [shape[0]!], { kind: "zeros" }),
  ];
  const norm = (name: string, D: number) => [spec(`${name}.weight`, [D], { kind: "ones" }), spec(`${name}.bias`, [D], { kind: "zeros" })];
  const dense = (name: string, out: number, into: number) => layer(name, c.convMlp ? [out, into, 1, 1] : [out, into]);
  const block = (name: string, D: number) => [
    spec(`${name}.gamma`, [D], { kind: "constant", value: 1e-6 }),
    ...layer(`${name}.conv_dw`, [D, 1, KERNEL, KERNEL]),
    ...norm(`${name}.norm`, D),
    ...dense(`${name}.mlp.fc1`, RATIO * D, D),
    ...dense(`${name}.mlp.fc2`, D, RATIO * D),
  ];
  const stages = c.dims.flatMap((D, s) => [
    ...(s > 0
      ? [...norm(`stages.${s}.downsample.0`, c.dims[s - 1]!), ...layer(`stages.${s}.downsample.1`, [D, c.dims[s - 1]!, 2, 2])]
      : []),
    ...convnextBlocks(c).flatMap(({ name, stage }) => (stage === s ? block(name, D) : [])),
  ]);
  return [
    ...layer("stem.0", [c.dims[0], 3, STEM, STEM]),
    ...norm("stem.1", c.dims[0]),
    ...stages,
    ...norm("head.norm", c.dims[3]),
    ...(c.numClasses > 0 ? layer("head.fc", [c.numClasses, c.dims[3]]) : []),
  ];
}

/** Multiply-adds, and output elements, of one image's convolutions and linear layers. */
export function convnextCost(c: ConvNeXtConfig): { readonly macs: number; readonly activations: number } {
  let side = Math.floor(c.imgSize / STEM);
  let [macs, activations] = [0, 0];
  c.dims.forEach((D, s) => {
    if (s > 0) side = Math.floor(side / 2);
    const pixels = side * side;
    const cut = s > 0 ? 4 * c.dims[s - 1]! : 3 * STEM ** 2;
    macs += pixels * D * (cut + c.depths[s]! * (KERNEL ** 2 + 2 * RATIO * D));
    activations += pixels * D * (1 + c.depths[s]! * (2 + RATIO));
  });
  return { macs: macs + c.numClasses * c.dims[3], activations: activations + c.numClasses };
}

/**
 * x: (B, 3, H, W), normalised, of sides of at least 32. Returns logits (B, K), or pooled features (B, D) without a classifier. Of the taps
 * `stem` and `s1` to `s4` the channels come first, as of other convolutional networks.
 */
export function convnext(p: Params, x: Tensor, c: ConvNeXtConfig, { dropPath, tap }: Pick<DeitOptions, "dropPath" | "tap"> = {}): Tensor {
  const [B, channels, height, width] = x.shape as [number, number, number, number];
  if (x.shape.length !== 4 || channels !== 3 || Math.min(height, width) < STRIDE)
    throw new Error(`convnext: expected images [B,3,H,W] of at least ${STRIDE}x${STRIDE}, got ${show(x.shape)}`);
  const w = (name: string): Tensor => p[name]!;
  const layer = (name: string) => [w(`${name}.weight`), w(`${name}.bias`)] as const;
  const dense = (name: string) => [reshape(w(`${name}.weight`), w(`${name}.weight`).shape.slice(0, 2)), w(`${name}.bias`)] as const;
  const norm = (name: string, t: Tensor) => layerNorm(t, ...layer(name), { eps: EPS });
  const seen = (name: string, t: Tensor) => tap?.(name, permute(t, [0, 3, 1, 2]));

  const blocks = convnextBlocks(c);
  const rates = blocks.map((_, i) => (dropPath ? (dropPath.uniform ? dropPath.rate : (dropPath.rate * i) / (blocks.length - 1)) : 0));
  const factors = dropPath && rates.some((rate) => rate > 0) ? dropPathFactors(rates, B, dropPath) : null;

  let [h, v] = [Math.floor(height / STEM), Math.floor(width / STEM)];
  const whole = slice(slice(x, 2, 0, h * STEM), 3, 0, v * STEM);
  let t = norm("stem.1", reshape(patchEmbed(whole, ...layer("stem.0")), [B, h, v, c.dims[0]]));
  seen("stem", t);
  blocks.forEach(({ name, stage }, i) => {
    if (stage > 0 && blocks[i - 1]!.stage < stage) {
      const before = `stages.${stage}.downsample`;
      [h, v] = [h >> 1, v >> 1];
      t = reshape(patchEmbed(patchesOf(norm(`${before}.0`, t), h, v), ...layer(`${before}.1`)), [B, h, v, c.dims[stage]!]);
    }
    const mixed = norm(`${name}.norm`, depthwiseConv(t, ...layer(`${name}.conv_dw`)));
    t = mlp(mixed, ...dense(`${name}.mlp.fc1`), ...dense(`${name}.mlp.fc2`), {
      residual: t,
      scale: w(`${name}.gamma`),
      factors: factors && rates[i]! > 0 ? { tensor: factors, at: i * B } : undefined,
    });
    if (blocks[i + 1]?.stage !== stage) seen(`s${stage + 1}`, t);
  });
  const features = norm("head.norm", mean(reshape(t, [B, h * v, c.dims[3]]), 1));
  return c.numClasses > 0 ? linear(features, ...layer("head.fc")) : features;
}

/** t: (B, H, W, C). Returns its h x w patches of 2x2 pixels in the order of a convolution's weights, (B, h w, C 2 2). */
function patchesOf(t: Tensor, h: number, w: number): Tensor {
  const [B, , , C] = t.shape as [number, number, number, number];
  const whole = slice(slice(t, 1, 0, 2 * h), 2, 0, 2 * w);
  return reshape(permute(reshape(whole, [B, h, 2, w, 2, C]), [0, 1, 3, 5, 2, 4]), [B, h * w, 4 * C]);
}
