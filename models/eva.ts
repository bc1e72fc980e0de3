/**
 * What timm's class Eva has otherwise than ViT: DINOv3 and EVA-02, with rotary positions in attention, gated MLPs, query and value with a
 * bias but no key, and other names. Parameter names are timm's.
 *
 * Siméoni et al. 2025, "DINOv3", https://arxiv.org/abs/2508.10104; Fang et al. 2023, "EVA-02", https://arxiv.org/abs/2303.11331
 */
import { Tensor } from "../engine/tensor.ts";
import { cast } from "../kernels/cast.ts";
import { linear } from "../kernels/linear.ts";
import { concat, expand } from "../kernels/movement.ts";
import { patchEmbed } from "../kernels/patch-embed.ts";
import { rotary } from "../kernels/rotary.ts";
import { swiglu } from "../kernels/swiglu.ts";
import { deitParams, dense, normed, patchLayer, placed, type Parts } from "./deit.ts";
import { firstWidth, mlpWidth, type DeitConfig } from "./deit-config.ts";
import type { Init, Params, ParamSpec } from "./params.ts";
import { rotaryAngles } from "./rotary-angles.ts";
import { denseSpecs, normSpecs, spec, STD, ZEROS } from "./specs.ts";

/** Names and shapes of any vision transformer in state-dict order. */
export const transformerParams = (c: DeitConfig): ParamSpec[] =>
  c.rope === null ? deitParams(c) : deitParams(c, blockParams).map((s) => (FIRST[s.name] ? { ...s, init: FIRST[s.name]! } : s));

/** Initial values of Eva's code where they are not ViT's. */
const FIRST: Readonly<Record<string, Init>> = { reg_token: STD, "head.weight": { kind: "normal", std: 2e-5 } };

function blockParams(c: DeitConfig, i: number): ParamSpec[] {
  const D = c.dim,
    H = mlpWidth(c),
    b = `blocks.${i}`;
  const last: Init = { kind: "normal", std: 0.02 / Math.sqrt(2 * (i + 1)) };
  const scales = c.layerScale === null ? [] : [1, 2].map((k) => spec(`${b}.gamma_${k}`, [D], { kind: "constant", value: c.layerScale! }));
  const qkv = c.qkvFused
    ? [
        ...(c.qkvBias ? [spec(`${b}.attn.q_bias`, [D], ZEROS), spec(`${b}.attn.v_bias`, [D], ZEROS)] : []),
        ...denseSpecs(`${b}.attn.qkv`, 3 * D, D, { bias: false }),
      ]
    : ["q", "k", "v"].flatMap((part) => denseSpecs(`${b}.attn.${part}_proj`, D, D, { bias: c.qkvBias && part !== "k" }));
  return [
    ...scales,
    ...normSpecs(`${b}.norm1`, D),
    ...qkv,
    ...denseSpecs(`${b}.attn.proj`, D, D, { init: last }),
    ...normSpecs(`${b}.norm2`, D),
    ...(c.swiglu === "split"
      ? ["fc1_g", "fc1_x"].flatMap((name) => denseSpecs(`${b}.mlp.${name}`, H, D))
      : denseSpecs(`${b}.mlp.fc1`, firstWidth(c), D)),
    ...(c.mlpNorm ? normSpecs(`${b}.mlp.norm`, H) : []),
    ...denseSpecs(`${b}.mlp.fc2`, D, H, { init: last }),
  ];
}

/** The parts for one forward: its angles are made here. */
export function evaParts(c: DeitConfig): Parts {
  const { cos, sin, half } = rotaryAngles(c);
  const shape = [(c.imgSize / c.patchSize) ** 2, c.dim / c.heads / 2];
  const angles = [Tensor.from(cos, shape), Tensor.from(sin, shape)] as const;
  const noBias = c.qkvBias ? Tensor.zeros([c.dim]) : null;
  return {
    tokens: (p, x, front) => (c.rope === "dinov3" ? unplaced : placed)(p, x, front, c),
    scale: (block, which) => `${block}.gamma_${which}`,
    qkv(p, block, t) {
      const w = (name: string): Tensor => p[`${block}.attn.${name}`]!;
      const apart = ["q", "k", "v"].map((part) => `${part}_proj.weight`);
      const weight = c.qkvFused ? w("qkv.weight") : concat(apart.map(w), 0);
      const [q, v] = c.qkvFused ? ["q_bias", "v_bias"] : ["q_proj.bias", "v_proj.bias"];
      const bias = noBias && concat([w(q!), noBias, w(v!)], 0);
      return rotary(linear(t, weight, bias), ...angles, { heads: c.heads, half });
    },
    mlp(p, block, t, x, layers, branch) {
      const fc2 = dense(p, `${block}.mlp.fc2`);
      if (c.swiglu === null) return layers.mlp(t, x, dense(p, `${block}.mlp.fc1`), fc2, branch);
      const h = layers.hidden(swiglu(linear(x, ...gated(p, `${block}.mlp`, c))), branch);
      return layers.projected(t, c.mlpNorm ? normed(p, `${block}.mlp.norm`, h, c) : h, fc2, branch);
    },
  };
}

/** Gates' and values' layers as one: a copy of the weights is smaller than one of what they make. */
function gated(p: Params, mlp: string, c: DeitConfig): readonly [Tensor, Tensor] {
  if (c.swiglu === "packed") return dense(p, `${mlp}.fc1`);
  const both = (kind: string): Tensor => concat([p[`${mlp}.fc1_g.${kind}`]!, p[`${mlp}.fc1_x.${kind}`]!], 0);
  return [both("weight"), both("bias")];
}

/** The learned tokens before the patches', none with a position. */
function unplaced(p: Params, x: Tensor, front: readonly string[], c: DeitConfig): Tensor {
  const patches = patchEmbed(x, ...patchLayer(p, c));
  const repeated = front.map((name) => {
    const token = p[name]!;
    return cast(expand(token, [x.shape[0]!, token.shape[1]!, c.dim]), patches.dtype as "f32" | "f16");
  });
  return concat([...repeated, patches], 1);
}
