/**
 * RegNetY, the convolutional teacher, of any size. Parameter names are timm's.
 *
 * Radosavovic et al. 2020, "Designing network design spaces", https://arxiv.org/abs/2003.13678
 */
import { differentiable } from "../engine/autograd.ts";
import { show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import { batchNorm } from "../kernels/batch-norm.ts";
import { conv2d, convNorm } from "../kernels/conv2d.ts";
import { add, relu, sigmoid } from "../kernels/elementwise.ts";
import { globalAvgPool } from "../kernels/global-avg-pool.ts";
import { reshape } from "../kernels/movement.ts";
import { linear } from "../kernels/linear.ts";
import { scaleChannels } from "../kernels/scale-channels.ts";
import type { Init, Params, ParamSpec } from "./params.ts";
import { shownValue } from "./shown.ts";

export interface RegNetConfig {
  readonly arch: "regnety";
  readonly imgSize: number;
  /** Widths grow as w0 + wa * j over the blocks j, rounded to w0 * wm^s. */
  readonly w0: number;
  readonly wa: number;
  readonly wm: number;
  readonly groupWidth: number;
  readonly depth: number;
  readonly seRatio: number;
  readonly stemWidth: number;
  readonly stemStride: number;
  /** Of each stage's first block; the last one counts for all further stages. */
  readonly strides: readonly number[];
  /** 0: no classifier, as timm's `num_classes=0`; the model gives its pooled features. */
  readonly numClasses: number;
}

// w0, wa, wm, group width, depth (the paper's table 4 in timm's precision).
const SIZES: Readonly<Record<string, readonly [number, number, number, number, number]>> = {
  regnety_002: [24, 36.44, 2.49, 8, 13],
  regnety_004: [48, 27.89, 2.09, 8, 16],
  regnety_006: [48, 32.54, 2.32, 16, 15],
  regnety_008: [56, 38.84, 2.4, 16, 14],
  regnety_016: [48, 20.71, 2.65, 24, 27],
  regnety_032: [80, 42.63, 2.66, 24, 21],
  regnety_040: [96, 31.41, 2.24, 64, 22],
  regnety_064: [112, 33.22, 2.27, 72, 25],
  regnety_080: [192, 76.82, 2.19, 56, 17],
  regnety_120: [168, 73.36, 2.37, 112, 19],
  regnety_160: [200, 106.23, 2.48, 112, 18],
};

/** The names that `regnetConfig` knows. */
export const regnetNames: readonly string[] = Object.keys(SIZES);

/** The config of a timm model name, `regnety_002` to `regnety_160`; `null` for other names. */
export function regnetConfig(name: string): RegNetConfig | null {
  const size = SIZES[name];
  if (!size) return null;
  const [w0, wa, wm, groupWidth, depth] = size;
  return {
    arch: "regnety",
    imgSize: 224,
    w0,
    wa,
    wm,
    groupWidth,
    depth,
    seRatio: 0.25,
    stemWidth: 32,
    stemStride: 2,
    strides: [2],
    numClasses: 1000,
  };
}

interface Block {
  /** timm's name, e.g. `s1.b1`. */
  readonly name: string;
  readonly stage: number;
  readonly into: number;
  readonly width: number;
  readonly groups: number;
  readonly stride: number;
  /** Squeeze-excite's inner width: a share of the block's input channels, not of its own. */
  readonly squeeze: number;
  readonly downsample: boolean;
}

/** Python's round: halves to even. The width formula needs it. */
const roundHalfEven = (v: number): number => (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));

/** Every block, in order. */
export function regnetBlocks(c: RegNetConfig): Block[] {
  checkRegnetConfig(c);
  const widths = Array.from({ length: c.depth }, (_, j) => {
    const step = roundHalfEven(Math.log((c.w0 + c.wa * j) / c.w0) / Math.log(c.wm));
    const raw = roundHalfEven((c.w0 * c.wm ** step) / 8) * 8;
    const g = Math.min(c.groupWidth, raw);
    return { raw, width: roundHalfEven(raw / g) * g, g };
  });
  const blocks: Block[] = [];
  let stage = 0,
    index = 0,
    into = c.stemWidth;
  widths.forEach(({ raw, width, g }, j) => {
    const first = j === 0 || raw !== widths[j - 1]!.raw;
    if (first) {
      stage++;
      index = 0;
    }
    const stride = first ? (c.strides[stage - 1] ?? c.strides.at(-1)!) : 1;
    blocks.push({
      name: `s${stage}.b${++index}`,
      stage,
      into,
      width,
      groups: width / g,
      stride,
      squeeze: roundHalfEven(into * c.seRatio),
      downsample: into !== width || stride !== 1,
    });
    into = width;
  });
  return blocks;
}

// Far beyond any trained model. Limits the lists that an untrusted config allocates.
const MOST_DEPTH = 1000,
  MOST_WIDTH = 2 ** 16;

/** Throws unless the sizes are possible. */
export function checkRegnetConfig(c: RegNetConfig): void {
  for (const key of ["imgSize", "w0", "groupWidth", "depth", "stemWidth", "stemStride"] as const) {
    if (!(Number.isInteger(c[key]) && c[key] > 0))
      throw new Error(`regnety: expected a positive integer ${key}, got ${shownValue(c[key])}`);
  }
  if (!(Number.isInteger(c.numClasses) && c.numClasses >= 0))
    throw new Error(`regnety: expected numClasses of 0 or more, got ${shownValue(c.numClasses)}`);
  if (!(Number.isFinite(c.wa) && c.wa >= 0) || !(Number.isFinite(c.wm) && c.wm > 1))
    throw new Error(`regnety: expected wa of 0 or more and wm above 1, got ${shownValue(c.wa)} and ${shownValue(c.wm)}`);
  if (!(Number.isFinite(c.seRatio) && c.seRatio > 0)) throw new Error(`regnety: expected a positive seRatio, got ${shownValue(c.seRatio)}`);
  if (!Array.isArray(c.strides) || c.strides.length === 0 || !c.strides.every((s) => Number.isInteger(s) && s > 0))
    throw new Error(`regnety: expected strides as a list of positive integers, got ${shownValue(c.strides)}`);
  if (c.w0 < 8) throw new Error(`regnety: expected w0 of 8 or more, got ${c.w0}`); // widths are rounded to multiples of 8
  if (c.stemWidth * c.seRatio < 1)
    throw new Error(`regnety: expected seRatio of at least 1 / stemWidth, got ${c.seRatio} of ${c.stemWidth}`);
  if (c.depth > MOST_DEPTH) throw new Error(`regnety: expected a depth of at most ${MOST_DEPTH}, got ${c.depth}`);
  const widest = c.wm * (c.w0 + c.wa * (c.depth - 1)); // rounding to a power of wm at most multiplies by that much
  const sizes = { width: Math.max(widest, c.stemWidth), numClasses: c.numClasses, seRatio: c.seRatio, imgSize: c.imgSize };
  for (const [key, size] of Object.entries(sizes))
    if (size > MOST_WIDTH) throw new Error(`regnety: expected a ${key} of at most ${MOST_WIDTH}, got ${size}`);
}

/** Names and shapes in state-dict order. Initial values are timm 0.3.2's, but 0 for squeeze-excite's biases as later versions have. */
export function regnetParams(c: RegNetConfig): ParamSpec[] {
  const spec = (name: string, shape: readonly number[], init: Init, trainable = true): ParamSpec => ({
    name,
    shape,
    init,
    trainable,
    decay: shape.length > 1,
  });
  const kaiming = (out: number, k: number): Init => ({ kind: "normal", std: Math.sqrt(2 / (out * k * k)) }); // fan-out, ReLU; groups not counted
  const conv = (name: string, out: number, into: number, k: number, gamma: Init = { kind: "ones" }): ParamSpec[] => [
    spec(`${name}.conv.weight`, [out, into, k, k], kaiming(out, k)),
    spec(`${name}.bn.weight`, [out], gamma),
    spec(`${name}.bn.bias`, [out], { kind: "zeros" }),
    spec(`${name}.bn.running_mean`, [out], { kind: "zeros" }, false),
    spec(`${name}.bn.running_var`, [out], { kind: "ones" }, false),
  ];
  const dense = (name: string, out: number, into: number): ParamSpec[] => [
    spec(`${name}.weight`, [out, into, 1, 1], kaiming(out, 1)),
    spec(`${name}.bias`, [out], { kind: "zeros" }),
  ];
  const blocks = regnetBlocks(c);
  return [
    ...conv("stem", c.stemWidth, 3, 3),
    ...blocks.flatMap(({ name, into, width, groups, squeeze, downsample }) => [
      ...conv(`${name}.conv1`, width, into, 1),
      ...conv(`${name}.conv2`, width, width / groups, 3),
      ...dense(`${name}.se.fc1`, squeeze, width),
      ...dense(`${name}.se.fc2`, width, squeeze),
      ...conv(`${name}.conv3`, width, width, 1, { kind: "zeros" }), // initially the block equals its shortcut
      ...(downsample ? conv(`${name}.downsample`, width, into, 1) : []),
    ]),
    ...(c.numClasses > 0
      ? [
          spec("head.fc.weight", [c.numClasses, blocks.at(-1)!.width], { kind: "normal", std: 0.01 }),
          spec("head.fc.bias", [c.numClasses], { kind: "zeros" }),
        ]
      : []),
  ];
}

/** Multiply-adds of one image's forward: convolutions and linear layers. */
export const regnetMacs = (c: RegNetConfig, height: number, width: number): number => cost(c, height, width).macs;

/** Output elements of the same layers, of one image: what timm's tables call activations. */
export const regnetActivations = (c: RegNetConfig, height: number, width: number): number => cost(c, height, width).activations;

function cost(c: RegNetConfig, height: number, width: number): { macs: number; activations: number } {
  const down = (n: number, stride: number) => Math.ceil(n / stride);
  let macs = 0,
    activations = 0;
  let h = down(height, c.stemStride),
    w = down(width, c.stemStride);
  const layer = (perOutput: number, outputs: number): void => {
    macs += perOutput * outputs;
    activations += outputs;
  };
  layer(3 * 9, c.stemWidth * h * w);
  const blocks = regnetBlocks(c);
  for (const b of blocks) {
    layer(b.into, b.width * h * w);
    h = down(h, b.stride);
    w = down(w, b.stride);
    layer(9 * (b.width / b.groups), b.width * h * w);
    layer(b.width, b.squeeze);
    layer(b.squeeze, b.width);
    layer(b.width, b.width * h * w);
    if (b.downsample) layer(b.into, b.width * h * w);
  }
  layer(blocks.at(-1)!.width, c.numClasses);
  return { macs, activations };
}

export interface RegNetOptions {
  /** Normalise by the batch, and move the running statistics. */
  readonly training?: boolean;
  /** Called with intermediate results: `stem`, `s1`, `s2`, … */
  readonly tap?: (name: string, value: Tensor) => void;
}

/** x: (B, 3, H, W), normalised. Returns logits (B, K). */
export function regnet(p: Params, x: Tensor, c: RegNetConfig, { training = false, tap }: RegNetOptions = {}): Tensor {
  if (x.shape.length !== 4 || x.shape[1] !== 3) throw new Error(`regnety: expected images [B,3,H,W], got ${show(x.shape)}`);
  const w = (name: string): Tensor => p[name]!;
  // With fixed statistics and no gradient wanted, the norm is part of the convolution's launch.
  const folds = !training && !differentiable([x, ...Object.values(p)]);
  const conv = (
    name: string,
    t: Tensor,
    { relu, stride = 1, padding = 0, groups = 1 }: { stride?: number; padding?: number; groups?: number; relu: boolean },
  ) => {
    const [normWeight, normBias, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map((part) =>
      w(`${name}.bn.${part}`),
    ) as [Tensor, Tensor, Tensor, Tensor];
    const weight = w(`${name}.conv.weight`),
      o = { stride, padding, groups };
    if (folds) return convNorm(t, weight, { weight: normWeight, bias: normBias, mean, variance }, { ...o, relu });
    return batchNorm(conv2d(t, weight, null, o), normWeight, normBias, mean, variance, { training, relu });
  };
  const dense = (name: string, t: Tensor) => {
    const weight = w(`${name}.weight`);
    return linear(t, reshape(weight, weight.shape.slice(0, 2)), w(`${name}.bias`));
  };

  let t = conv("stem", x, { stride: c.stemStride, padding: 1, relu: true });
  tap?.("stem", t);
  const blocks = regnetBlocks(c);
  blocks.forEach((b, i) => {
    const shortcut = b.downsample ? conv(`${b.name}.downsample`, t, { stride: b.stride, relu: false }) : t;
    let y = conv(`${b.name}.conv1`, t, { relu: true });
    y = conv(`${b.name}.conv2`, y, { stride: b.stride, padding: 1, groups: b.groups, relu: true });
    const s = sigmoid(dense(`${b.name}.se.fc2`, relu(dense(`${b.name}.se.fc1`, globalAvgPool(y)))));
    y = conv(`${b.name}.conv3`, scaleChannels(y, s), { relu: false });
    t = relu(add(y, shortcut));
    if (blocks[i + 1]?.stage !== b.stage) tap?.(`s${b.stage}`, t);
  });
  const features = globalAvgPool(t);
  return c.numClasses > 0 ? linear(features, w("head.fc.weight"), w("head.fc.bias")) : features;
}
