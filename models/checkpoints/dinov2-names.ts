/**
 * What Hugging Face's DINOv2 classes have otherwise than ViT's: names within a block, registers, and a position for the class token even where
 * the model has none. DeiT III, which has no class there of its own, is written as DINOv2 too: with a class position of 0, and a classifier
 * whose weights for the mean of the patches are 0. So the file runs in Hugging Face's class, and comes back as it was.
 *
 * https://github.com/huggingface/transformers/blob/main/src/transformers/models/dinov2/convert_dinov2_to_hf.py
 */
import type { State } from "../params.ts";

type Values = { readonly shape: readonly number[]; readonly data: Float32Array };

/** timm's name, and Hugging Face's: 4.x (the one in files), and where it differs 5.x. */
export const DINOV2_BLOCK: readonly (readonly [timm: string, hf4: string, hf5: string])[] = [
  ["norm1", "norm1", "norm1"],
  ["attn.q", "attention.attention.query", "attention.q_proj"],
  ["attn.k", "attention.attention.key", "attention.k_proj"],
  ["attn.v", "attention.attention.value", "attention.v_proj"],
  ["attn.proj", "attention.output.dense", "attention.o_proj"],
  ["norm2", "norm2", "norm2"],
  ["mlp.fc1", "mlp.fc1", "mlp.fc1"],
  ["mlp.fc2", "mlp.fc2", "mlp.fc2"],
];

/** timm's and Hugging Face's whole names of LayerScale in a block. */
export const LAYER_SCALES = [
  ["ls1.gamma", "layer_scale1.lambda1"],
  ["ls2.gamma", "layer_scale2.lambda1"],
] as const;

export const isDinov2 = (timm: State): boolean => timm.has("blocks.0.ls1.gamma");

const isZero = (values: Float32Array): boolean => values.every((v) => v === 0);

/**
 * From DINOv2's own and Hugging Face's: registers are timm's `reg_token`, and the class token takes its position, for timm gives it none
 * beside registers. A position of 0 is none, and so is a classifier's half of 0.
 */
export function dinov2ToTimm(given: State): State {
  const state = new Map(given);
  const registers = state.get("register_tokens");
  const positions = state.get("pos_embed"),
    token = state.get("cls_token");
  if (registers) {
    state.delete("register_tokens");
    state.set("reg_token", registers);
  }
  const [, rows = 0, D = 0] = positions?.shape ?? [];
  if (positions && token && Number.isInteger(Math.sqrt(rows - 1))) {
    const { data } = positions;
    const own = data.subarray(0, D);
    if (registers || isZero(own)) {
      const cls = token.data;
      state.set("pos_embed", { shape: [1, rows - 1, D], data: data.slice(D) });
      state.set("cls_token", { shape: token.shape, data: isZero(own) ? cls : cls.map((v, i) => v + own[i]!) });
    }
  }
  const head = state.get("head.weight");
  if (head && head.shape[1] === 2 * D) {
    const mean = columns(head, D, 2 * D);
    if (isZero(mean.data)) state.set("head.weight", columns(head, 0, D));
  }
  return state;
}

/** What Hugging Face's classes want besides or larger, of a state with timm's names. The mask token is for pretraining alone: 0. */
export function timmToDinov2(given: State): State {
  const state = new Map(given);
  const { shape = [], data } = state.get("pos_embed") ?? {};
  const [, rows = 0, D = 0] = shape;
  if (data && Number.isInteger(Math.sqrt(rows))) {
    const all = new Float32Array((rows + 1) * D);
    all.set(data, D);
    state.set("pos_embed", { shape: [1, rows + 1, D], data: all });
  } else if (state.has("reg_token")) {
    throw new Error(`weights: expected a position for each patch alone beside registers, got pos_embed [${shape}]`);
  }
  state.set("mask_token", { shape: [1, D], data: new Float32Array(D) });
  const head = state.get("head.weight");
  if (head && head.shape[1] === D) {
    const wide = new Float32Array(2 * head.data.length);
    for (let k = 0; k < head.shape[0]!; k++) wide.set(head.data.subarray(k * D, (k + 1) * D), 2 * k * D);
    state.set("head.weight", { shape: [head.shape[0]!, 2 * D], data: wide });
  }
  return state;
}

function columns({ shape, data }: Values, from: number, to: number): Values {
  const [rows = 0, width = 0] = shape;
  const cut = new Float32Array(rows * (to - from));
  for (let k = 0; k < rows; k++) cut.set(data.subarray(k * width + from, k * width + to), k * (to - from));
  return { shape: [rows, to - from], data: cut };
}
