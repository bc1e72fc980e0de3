/**
 * ResNet: the convolutional network that most teachers are. Parameter names are torchvision's, which timm has too; bottlenecks stride in their
 * 3x3 convolution, as both have them.
 *
 * He et al. 2015, "Deep residual learning for image recognition", https://arxiv.org/abs/1512.03385
 */
import { differentiable } from "../engine/autograd.ts";
import { show, type Shape } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { batchNorm } from "../kernels/batch-norm.ts";
import { conv2d, convNorm } from "../kernels/conv2d.ts";
import { add, relu } from "../kernels/elementwise.ts";
import { globalAvgPool } from "../kernels/global-avg-pool.ts";
import { linear } from "../kernels/linear.ts";
import { maxPool2d } from "../kernels/max-pool.ts";
import type { Init, Params, ParamSpec } from "./params.ts";
import { shownValue } from "./shown.ts";

export interface ResNetConfig {
  readonly arch: "resnet";
  readonly imgSize: number;
  /** "basic": two 3x3 convolutions. "bottleneck": 1x1, 3x3, 1x1, the last four times as wide. */
  readonly block: "basic" | "bottleneck";
  /** Blocks of each of the four stages. */
  readonly depths: readonly [number, number, number, number];
  readonly stemWidth: number;
  /** Channels of the first stage's 3x3 convolutions; each further stage has twice as many. */
  readonly width: number;
  /** 0: no classifier, as timm's `num_classes=0`; the model gives its pooled features. */
  readonly numClasses: number;
}

const SIZES: Readonly<Record<string, Pick<ResNetConfig, "block" | "depths">>> = {
  resnet18: { block: "basic", depths: [2, 2, 2, 2] },
  resnet34: { block: "basic", depths: [3, 4, 6, 3] },
  resnet50: { block: "bottleneck", depths: [3, 4, 6, 3] },
};

/** The names that `resnetConfig` knows. */
export const resnetNames: readonly string[] = Object.keys(SIZES);

/** The config of `resnet18`, `resnet34` or `resnet50`; `null` for other names. */
export function resnetConfig(name: string): ResNetConfig | null {
  const size = Object.hasOwn(SIZES, name) ? SIZES[name]! : null;
  return size && { arch: "resnet", imgSize: 224, ...size, stemWidth: 64, width: 64, numClasses: 1000 };
}

/** The config that a state's names and shapes tell, at 224 pixels. */
export function resnetConfigOf(state: ReadonlyMap<string, { readonly shape: Shape }>): ResNetConfig {
  const blocks = (stage: number): number =>
    new Set([...state.keys()].filter((name) => name.startsWith(`layer${stage}.`)).map((name) => name.split(".")[1])).size;
  return {
    arch: "resnet",
    imgSize: 224,
    block: state.has("layer1.0.conv3.weight") ? "bottleneck" : "basic",
    depths: [blocks(1), blocks(2), blocks(3), blocks(4)],
    stemWidth: state.get("conv1.weight")?.shape[0] ?? 0,
    width: state.get("layer1.0.conv1.weight")?.shape[0] ?? 0,
    numClasses: state.get("fc.weight")?.shape[0] ?? 0,
  };
}

/** A convolution without bias and its batch norm. */
interface Conv {
  readonly conv: string;
  readonly norm: string;
  readonly into: number;
  readonly out: number;
  readonly kernel: number;
  readonly stride: number;
}

interface Block {
  /** torchvision's name, e.g. `layer1.0`. */
  readonly name: string;
  readonly stage: number;
  /** In order; all but the last are followed by ReLU. */
  readonly convs: readonly Conv[];
  /** The shortcut, where it is not the identity. */
  readonly downsample: Conv | null;
}

export const resnetStem = ({ stemWidth }: ResNetConfig): Conv => ({
  conv: "conv1",
  norm: "bn1",
  into: 3,
  out: stemWidth,
  kernel: 7,
  stride: 2,
});

/** No network is deeper or wider, nor an image larger; what a file claims is allocated only within it. */
const MOST_DEPTH = 1000,
  MOST_WIDTH = 2 ** 16;

/** Throws for sizes that are no network's. */
export function checkResnetConfig(c: ResNetConfig): void {
  const fault = (expected: string, got: unknown): never => {
    throw new Error(`resnet: expected ${expected}, got ${shownValue(got)}`);
  };
  const within = (n: unknown, most: number): boolean => Number.isInteger(n) && (n as number) >= 1 && (n as number) <= most;
  for (const key of ["imgSize", "stemWidth", "width"] as const)
    if (!within(c[key], MOST_WIDTH)) fault(`${key} from 1 to ${MOST_WIDTH}`, c[key]);
  if (!Array.isArray(c.depths) || c.depths.length !== 4 || !c.depths.every((n) => within(n, MOST_DEPTH)))
    fault(`four depths from 1 to ${MOST_DEPTH}`, c.depths);
  if (c.numClasses !== 0 && !within(c.numClasses, MOST_WIDTH)) fault(`numClasses from 0 to ${MOST_WIDTH}`, c.numClasses);
  if (c.block !== "basic" && c.block !== "bottleneck") fault('block "basic" or "bottleneck"', c.block);
}

/** Every block, in order. */
export function resnetBlocks(c: ResNetConfig): Block[] {
  let into = c.stemWidth;
  return c.depths.flatMap((depth, s) =>
    Array.from({ length: depth }, (_, i) => {
      const [name, inner, stride] = [`layer${s + 1}.${i}`, c.width << s, s > 0 && i === 0 ? 2 : 1];
      const plan =
        c.block === "basic"
          ? ([
              [3, inner, stride],
              [3, inner, 1],
            ] as const)
          : ([
              [1, inner, 1],
              [3, inner, stride],
              [1, 4 * inner, 1],
            ] as const);
      const out = plan.at(-1)![1];
      const downsample =
        stride > 1 || into !== out ? { conv: `${name}.downsample.0`, norm: `${name}.downsample.1`, into, out, kernel: 1, stride } : null;
      const convs = plan.map(([kernel, out, stride], n): Conv => {
        const from = n === 0 ? into : plan[n - 1]![1];
        return { conv: `${name}.conv${n + 1}`, norm: `${name}.bn${n + 1}`, into: from, out, kernel, stride };
      });
      into = out;
      return { name, stage: s + 1, convs, downsample };
    }),
  );
}

/** Channels of the pooled features. */
export const resnetWidth = (c: ResNetConfig): number => resnetBlocks(c).at(-1)!.convs.at(-1)!.out;

/** Every parameter and running statistic, in state-dict order, with timm's initial values. */
export function resnetParams(c: ResNetConfig): ParamSpec[] {
  const spec = (name: string, shape: number[], init: Init, trainable = true): ParamSpec => ({
    ...{ name, shape, init, trainable },
    decay: shape.length > 1,
  });
  const layer = ({ conv, norm, into, out, kernel }: Conv, gamma: Init = { kind: "ones" }): ParamSpec[] => [
    spec(`${conv}.weight`, [out, into, kernel, kernel], { kind: "normal", std: Math.sqrt(2 / (out * kernel * kernel)) }), // fan-out, ReLU
    spec(`${norm}.weight`, [out], gamma),
    spec(`${norm}.bias`, [out], { kind: "zeros" }),
    spec(`${norm}.running_mean`, [out], { kind: "zeros" }, false),
    spec(`${norm}.running_var`, [out], { kind: "ones" }, false),
  ];
  const width = resnetWidth(c);
  const uniform: Init = { kind: "uniform", bound: 1 / Math.sqrt(width) };
  return [
    ...layer(resnetStem(c)),
    ...resnetBlocks(c).flatMap(({ convs, downsample }) => [
      ...convs.flatMap((conv) => layer(conv, conv === convs.at(-1) ? { kind: "zeros" } : undefined)), // initially the block equals its shortcut
      ...(downsample ? layer(downsample) : []),
    ]),
    ...(c.numClasses > 0 ? [spec("fc.weight", [c.numClasses, width], uniform), spec("fc.bias", [c.numClasses], uniform)] : []),
  ];
}

/** Multiply-adds, and output elements, of one image's convolutions and classifier. */
export function resnetCost(c: ResNetConfig): { readonly macs: number; readonly activations: number } {
  const half = (side: number): number => Math.ceil(side / 2);
  let [macs, activations] = [0, 0];
  const layer = ({ into, out, kernel }: Pick<Conv, "into" | "out" | "kernel">, side: number): void => {
    macs += into * kernel * kernel * out * side * side;
    activations += out * side * side;
  };
  let side = half(c.imgSize);
  layer(resnetStem(c), side);
  side = half(side);
  for (const { convs, downsample } of resnetBlocks(c)) {
    for (const conv of convs) {
      if (conv.stride === 2) side = half(side);
      layer(conv, side);
    }
    if (downsample) layer(downsample, side);
  }
  layer({ into: resnetWidth(c), out: c.numClasses, kernel: 1 }, 1);
  return { macs, activations };
}

export interface ResNetOptions {
  /** Normalise by the batch, and move the running statistics. */
  readonly training?: boolean;
  /** Called with intermediate results: `stem`, `s1` … `s4`. */
  readonly tap?: (name: string, value: Tensor) => void;
}

/** x: (B, 3, H, W), normalised. Returns logits (B, K), or pooled features (B, D) without a classifier. */
export function resnet(p: Params, x: Tensor, c: ResNetConfig, { training = false, tap }: ResNetOptions = {}): Tensor {
  if (x.shape.length !== 4 || x.shape[1] !== 3) throw new Error(`resnet: expected images [B,3,H,W], got ${show(x.shape)}`);
  // With fixed statistics and no gradient wanted, the norm is part of the convolution's launch.
  const folds = !training && !differentiable([x, ...Object.values(p)]);
  const layer = (t: Tensor, { conv, norm, kernel, stride }: Conv, activated: boolean): Tensor => {
    const [weight, bias, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map((part) => p[`${norm}.${part}`]!) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    const o = { stride, padding: kernel >> 1 };
    if (folds) return convNorm(t, p[`${conv}.weight`]!, { weight, bias, mean, variance }, { ...o, relu: activated });
    return batchNorm(conv2d(t, p[`${conv}.weight`]!, null, o), weight, bias, mean, variance, { training, relu: activated });
  };
  let t = layer(x, resnetStem(c), true);
  tap?.("stem", t);
  t = maxPool2d(t, { kernel: 3, stride: 2, padding: 1 });
  const blocks = resnetBlocks(c);
  blocks.forEach(({ convs, downsample, stage }, i) => {
    const shortcut = downsample ? layer(t, downsample, false) : t;
    const y = convs.reduce((y, conv, n) => layer(y, conv, n < convs.length - 1), t);
    t = relu(add(y, shortcut));
    if (blocks[i + 1]?.stage !== stage) tap?.(`s${stage}`, t);
  });
  const features = globalAvgPool(t);
  return c.numClasses > 0 ? linear(features, p["fc.weight"]!, p["fc.bias"]!) : features;
}
