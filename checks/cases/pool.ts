import { Tensor } from "../../engine/tensor.ts";
import { globalAvgPool } from "../../kernels/global-avg-pool.ts";
import { scaleChannels } from "../../kernels/scale-channels.ts";
import { checkOp, refuses, type Case } from "../check.ts";
import { andOnGpu } from "../on-a-gpu.ts";
import { op } from "../op.ts";
import { poolReference, scaleReference } from "../reference/conv.ts";

export const ops = [
  op("globalAvgPool", {
    inputs: { x: "[B,C,H,W]" },
    outputs: "y [B,C]",
    run: ({ x }) => globalAvgPool(x),
    reference: ({ x }, shapes) => poolReference(shapes.x[2]! * shapes.x[3]!)(x),
    timed: [{ sizes: "4x104x28x28" }, { sizes: "32x208x28x28", on: "gpu" }],
  }),
  op("scaleChannels", {
    inputs: { x: "[B,C,H,W]", s: "[B,C]" },
    outputs: "y [B,C,H,W]",
    run: ({ x, s }) => scaleChannels(x, s),
    reference: ({ x, s }, shapes) => scaleReference(shapes.x[2]! * shapes.x[3]!)(x, s),
    timed: [{ sizes: "4x104x28x28" }, { sizes: "32x208x28x28", on: "gpu" }],
  }),
];

const images = [
  { why: "a single pixel", shape: [3, 5, 1, 1] },
  { why: "a small odd image", shape: [3, 67, 5, 7] },
  { why: "an image longer than a workgroup", shape: [2, 3, 9, 13] },
  { why: "an image of whole vectors", shape: [2, 5, 10, 14] },
];

export const cases: Case[] = [
  ...andOnGpu(
    images.flatMap(({ why, shape: [B = 0, C = 0, H = 0, W = 0] }) => [
      {
        name: `globalAvgPool: ${why}`,
        run: () => checkOp({ inputs: [[B, C, H, W]], op: globalAvgPool, reference: poolReference(H * W), shape: [B, C] }),
      },
      {
        name: `scaleChannels: ${why}`,
        run: () =>
          checkOp({
            inputs: [
              [B, C, H, W],
              [B, C],
            ],
            op: scaleChannels,
            reference: scaleReference(H * W),
            shape: [B, C, H, W],
          }),
      },
    ]),
  ),
  {
    name: "globalAvgPool: refuses what is no image",
    run: () => refuses(() => globalAvgPool(Tensor.zeros([2, 3])), /globalAvgPool: expected x \[B,C,H,W\], got \[2,3\]/),
  },
  {
    name: "scaleChannels: refuses factors of another batch",
    run: () =>
      refuses(
        () => scaleChannels(Tensor.zeros([2, 3, 4, 4]), Tensor.zeros([1, 3])),
        /scaleChannels: expected s \[2,3\] for x \[2,3,4,4\], got \[1,3\]/,
      ),
  },
];
