import { Tensor } from "../../engine/tensor.ts";
import { rotary } from "../../kernels/rotary.ts";
import { swiglu } from "../../kernels/swiglu.ts";
import { checkOp, refuses, type Case } from "../check.ts";
import { checkHalf } from "../half.ts";
import { buffer, count, flag, op } from "../op.ts";
import { opCases } from "../op-cases.ts";
import { rotaryReference, swigluReference } from "../reference/rotary.ts";

const turn = op("rotary", {
  inputs: { qkv: "[B,N,3*H*D]", cos: buffer("[P,D/2]"), sin: buffer("[P,D/2]") },
  outputs: "y [B,N,3*H*D]",
  attrs: { heads: count(), half: flag },
  attrsOf: ({ H }) => ({ heads: H! }),
  run: ({ qkv, cos, sin }, { heads, half }) => rotary(qkv, cos, sin, { heads, half }),
  reference: ({ qkv, cos, sin }, { qkv: [, N = 1, width = 6], cos: [P = 1] }, { heads: H, half }) =>
    rotaryReference({ N, H, D: width / 3 / H, P, half })(qkv, cos, sin),
  // DINOv3's small model at 256 pixels, EVA-02's base at 224.
  timed: [
    { sizes: "4x261x6x64x256", attrs: { half: true } },
    { sizes: "64x261x6x64x256", attrs: { half: true }, on: "gpu" },
    { sizes: "64x257x12x64x256", on: "gpu" },
  ],
});

const gate = op("swiglu", {
  inputs: { u: "[..,2*H]" },
  outputs: "y [..,H]",
  run: ({ u }) => swiglu(u),
  reference: ({ u }, shapes) => swigluReference(shapes.u.at(-1)! / 2)(u),
  timed: [{ sizes: "1044x1536" }, { sizes: "16448x2048", on: "gpu" }],
});

export const ops = [turn, gate];

const layouts = [
  { why: "neighbours in fours, tokens in front", B: 2, N: 9, H: 3, D: 8, P: 4, half: false },
  { why: "neighbours of an odd number of pairs", B: 2, N: 5, H: 2, D: 6, P: 4, half: false },
  { why: "halves in fours, tokens in front", B: 2, N: 9, H: 3, D: 16, P: 4, half: true },
  { why: "halves of no whole vector, no token in front", B: 1, N: 9, H: 2, D: 12, P: 9, half: true },
];

export const cases: Case[] = [
  ...layouts.map(({ why, B, N, H, D, P, half }) => ({
    name: `rotary: ${why}`,
    run: () =>
      checkOp({
        inputs: [
          [B, N, 3 * H * D],
          [P, D / 2],
          [P, D / 2],
        ],
        op: (qkv, cos, sin) => rotary(qkv!, cos!, sin!, { heads: H, half }),
        reference: rotaryReference({ N, H, D, P, half }),
        shape: [B, N, 3 * H * D],
        grads: [0],
      }),
  })),
  ...[layouts[0]!, layouts[3]!].map(({ why, B, N, H, D, P, half }) => ({
    name: `f16 rotary: ${why}`,
    needs: ["shader-f16"],
    run: () =>
      checkHalf({
        inputs: [
          [B, N, 3 * H * D],
          [P, D / 2],
          [P, D / 2],
        ],
        op: (qkv, cos, sin) => rotary(qkv, cos, sin, { heads: H, half }),
        reference: rotaryReference({ N, H, D, P, half }),
        wide: [1, 2],
        grads: [0],
      }),
  })),
  {
    name: "rotary: refuses an odd head, or angles of another width or of more patches than tokens",
    run: async () => {
      const angles = (P: number, pairs: number) => Tensor.zeros([P, pairs]);
      const qkv = Tensor.zeros([1, 5, 12]);
      await refuses(() => rotary(qkv, angles(4, 2), angles(4, 2), { heads: 4 }), /rotary: expected qkv \[B,N,3\*4\*D\] of an even D, got/);
      await refuses(
        () => rotary(qkv, angles(4, 1), angles(4, 1), { heads: 1 }),
        /rotary: expected cos and sin \[P,2\] of at most 5 patches, got \[4,1\] and \[4,1\]/,
      );
      await refuses(() => rotary(qkv, angles(6, 2), angles(6, 2), { heads: 1 }), /at most 5 patches, got \[6,2\]/);
    },
  },
  ...opCases(gate, { "in fours": "3x5x8", "of no whole vector": "7x5", "more rows than a workgroup": "300x4" }),
  {
    name: "swiglu: gates far from 0",
    run: () =>
      checkOp({
        inputs: [{ shape: [2, 8], values: Float64Array.from({ length: 16 }, (_, i) => (i % 8 < 4 ? [-100, -20, 20, 100][i % 4]! : 0.5)) }],
        op: (u) => swiglu(u!),
        reference: swigluReference(4),
      }),
  },
  { name: "f16 swiglu", needs: ["shader-f16"], run: () => checkHalf({ inputs: [[3, 10]], op: swiglu, reference: swigluReference(5) }) },
  {
    name: "swiglu: refuses a row that has no two halves",
    run: () => refuses(() => swiglu(Tensor.zeros([2, 5])), /swiglu: expected u \[\.\.,2\*H\], got \[2,5\]/),
  },
];
