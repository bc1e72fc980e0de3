/** Files of DeiT III, DINO, DINOv2, MAE, DINOv3 and EVA-02: the names of their own repositories, timm's and Hugging Face's; what is said of any model's cousin. */
import { describe, expect, test } from "vitest";
import { convertWeights } from "../../jobs/convert/weights.ts";
import { refusing } from "../../jobs/errors.ts";
import { checkState } from "../../models/check-state.ts";
import { readAnyWeights } from "../../models/checkpoints/formats.ts";
import { toHuggingFace, toTimm } from "../../models/checkpoints/names.ts";
import { writeSafetensors } from "../../models/checkpoints/safetensors.ts";
import { createModel } from "../../models/model.ts";
import { initialState, type State } from "../../models/params.ts";

const SMALL = { arch: "deit", imgSize: 28, patchSize: 14, dim: 8, depth: 2, heads: 2 };
const DINOV3 = { ...SMALL, layerScale: 1e-5, regTokens: 4, rope: "dinov3", qkvBias: false, pool: "mean", numClasses: 0 };
const EVA02 = { ...SMALL, rope: "eva02", swiglu: "packed", pool: "mean", fcNorm: true, numClasses: 3 };
const FAMILIES = {
  "DeiT III": { ...SMALL, layerScale: 1e-6, posEmbedCls: false, numClasses: 3 },
  DINO: { ...SMALL, numClasses: 0 },
  DINOv2: { ...SMALL, layerScale: 1e-5, numClasses: 0 },
  "DINOv2 with registers": { ...SMALL, layerScale: 1e-5, regTokens: 4, posEmbedCls: false, numClasses: 0 },
  "DINOv2 with a linear head": { ...SMALL, layerScale: 1e-5, pool: "both", numClasses: 3 },
  "ViT without biases of qkv": { ...SMALL, qkvBias: false, numClasses: 3 },
  DINOv3: DINOV3,
  "DINOv3 with biases and SwiGLU": { ...DINOV3, qkvBias: true, swiglu: "split" },
  "DINOv3 with a classifier": { ...DINOV3, numClasses: 3 },
};
const EVA02S = { packed: EVA02, split: { ...EVA02, qkvFused: false, swiglu: "split", mlpNorm: true, mlpRatio: 1.7 } };

/** Values of which none is 0. */
function filled(config: Record<string, unknown>): State {
  let k = 0;
  return new Map(
    [...initialState(createModel(config).params, 1)].map(([name, { shape, data }]) => [name, { shape, data: data.map(() => ++k / 1000) }]),
  );
}
const values = (state: State) => [...state].map(([name, { shape, data }]) => [name, shape, [...data]] as const);
const shapes = (state: State) => Object.fromEntries([...state].map(([name, { shape }]) => [name, `${shape}`]));
const without = (state: State, ...names: string[]): State => new Map([...state].filter(([name]) => !names.includes(name)));
const renamed = (state: State, from: RegExp, to: string): State => new Map([...state].map(([name, v]) => [name.replace(from, to), v]));

describe("timm's names, Hugging Face's and back: the same bits", () => {
  test.each(Object.entries(FAMILIES))("%s", (_, config) => {
    const timm = filled(config);
    const { state: hf } = toHuggingFace(timm);
    expect(values(toTimm(hf).state)).toEqual(values(timm));
    const safe = writeSafetensors([...hf].map(([name, { shape, data }]) => [name, { dtype: "F32" as const, shape, data }]));
    expect(values(convertWeights(readAnyWeights(safe), { to: "timm" }).state)).toEqual(values(timm));
  });
  test("what Hugging Face's DINOv2 classes expect", () => {
    expect(shapes(toHuggingFace(filled(FAMILIES["DINOv2 with registers"])).state)).toMatchObject({
      "embeddings.cls_token": "1,1,8",
      "embeddings.mask_token": "1,8",
      "embeddings.register_tokens": "1,4,8",
      "embeddings.position_embeddings": "1,5,8",
      "encoder.layer.1.norm1.weight": "8",
      "encoder.layer.1.attention.attention.query.weight": "8,8",
      "encoder.layer.1.layer_scale2.lambda1": "8",
      "encoder.layer.1.mlp.fc1.weight": "32,8",
      "layernorm.bias": "8",
    });
    expect(shapes(toHuggingFace(filled(FAMILIES["DeiT III"])).state)).toMatchObject({
      "dinov2.embeddings.position_embeddings": "1,5,8",
      "classifier.weight": "3,16",
    });
    expect(() => toHuggingFace(filled({ ...FAMILIES["DINOv2 with registers"], posEmbedCls: true, imgSize: 42 }))).toThrow(
      "expected a position for each patch alone beside registers, got pos_embed [1,14,8]",
    );
  });
});

describe("DINOv3 and EVA-02", () => {
  test("what Hugging Face's DINOv3 class expects, and what version 5 writes", () => {
    const timm = filled(FAMILIES["DINOv3 with biases and SwiGLU"]);
    const { state: hf } = toHuggingFace(timm);
    expect(shapes(hf)).toMatchObject({
      "embeddings.cls_token": "1,1,8",
      "embeddings.mask_token": "1,1,8",
      "embeddings.register_tokens": "1,4,8",
      "embeddings.patch_embeddings.weight": "8,3,14,14",
      "layer.1.attention.k_proj.weight": "8,8",
      "layer.1.attention.v_proj.bias": "8",
      "layer.1.layer_scale2.lambda1": "8",
      "layer.1.mlp.gate_proj.weight": "32,8",
      "layer.1.mlp.up_proj.bias": "32",
      "layer.1.mlp.down_proj.weight": "8,32",
      "norm.weight": "8",
    });
    expect(hf.has("layer.0.attention.k_proj.bias")).toBe(false);
    expect(shapes(toHuggingFace(filled(DINOV3)).state)).toMatchObject({ "layer.0.mlp.up_proj.weight": "32,8" });
    const { state, ignored } = toTimm(renamed(hf, /^layer\./, "model.layer."));
    expect(values(state)).toEqual(values(timm));
    expect(ignored).toEqual(["embeddings.mask_token"]);
    const odd = new Map([...hf, ["layer.0.attention.k_proj.bias", hf.get("norm.bias")!]]);
    expect(() => toTimm(odd)).toThrow(`expected Hugging Face's names of a DINOv3, got "layer.0.attention.k_proj.bias"`);
  });
  test.each(Object.entries(EVA02S))(
    "EVA-02 (%s): converted to timm's names it stays as it is; Hugging Face has no class for it",
    (_, config) => {
      const timm = filled(config);
      const safe = writeSafetensors([...timm].map(([name, { shape, data }]) => [name, { dtype: "F32" as const, shape, data }]));
      expect(values(convertWeights(readAnyWeights(safe), { to: "timm" }).state)).toEqual(values(timm));
      expect(() => toHuggingFace(timm)).toThrow("for Hugging Face's names, got an EVA-02");
    },
  );
  test("DINOv3's own names: a bias of three thirds, of which the key's is masked", () => {
    const timm = filled(FAMILIES["DINOv3 with biases and SwiGLU"]);
    const own = new Map<string, { shape: readonly number[]; data: Float32Array }>();
    for (const [name, values] of timm) {
      const [, attn] = /^(.*\.attn)\.q_bias$/.exec(name) ?? [];
      const data = attn && Float32Array.from([...values.data, ...Array(8).fill(NaN), ...timm.get(`${attn}.v_bias`)!.data]);
      const [mlp] = Object.entries({ fc1_g: "w1", fc1_x: "w2", fc2: "w3" }).filter(([layer]) => name.includes(`.${layer}.`));
      if (data) own.set(`${attn}.qkv.bias`, { shape: [24], data }).set(`${attn}.qkv.bias_mask`, { shape: [24], data });
      else if (!name.endsWith("v_bias"))
        own.set(
          name
            .replace("reg_token", "storage_tokens")
            .replace(/gamma_([12])/, "ls$1.gamma")
            .replace(mlp?.[0] ?? "", mlp?.[1] ?? ""),
          values,
        );
    }
    own.set("rope_embed.periods", { shape: [1], data: Float32Array.of(1) }).set("mask_token", { shape: [1, 8], data: new Float32Array(8) });
    const { state, ignored } = toTimm(own);
    expect(values(state)).toEqual(values(timm));
    expect(ignored).toEqual(["blocks.0.attn.qkv.bias_mask", "blocks.1.attn.qkv.bias_mask", "rope_embed.periods", "mask_token"]);
  });
  test("EVA-02's own names, pretrained: its norm is the one of the pooled patches", () => {
    const timm = filled({ ...EVA02S.split, numClasses: 0 });
    const changes: readonly (readonly [from: RegExp, to: string])[] = [
      [/mlp\.fc1_g/, "mlp.w1"],
      [/mlp\.fc1_x/, "mlp.w2"],
      [/mlp\.fc2/, "mlp.w3"],
      [/mlp\.norm/, "mlp.ffn_ln"],
      [/attn\.([qv])_proj\.bias/, "attn.$1_bias"],
      [/^fc_norm/, "norm"],
    ];
    const vector = { shape: [2], data: new Float32Array(2) };
    const extra = ["mask_token", "lm_head.weight", "blocks.0.attn.rope.freqs_cos"];
    const own = new Map([
      ...changes.reduce((state, [from, to]) => renamed(state, from, to), timm),
      ...extra.map((name) => [name, vector] as const),
    ]);
    const { state, ignored } = toTimm(own);
    expect(values(state)).toEqual(values(timm));
    expect(ignored).toEqual(extra);
  });
});

describe("names of the models' own repositories", () => {
  test("DINOv2 with registers: the class token takes its position", () => {
    const timm = filled(FAMILIES["DINOv2 with registers"]);
    const position = timm.get("pos_embed")!;
    const token = timm.get("cls_token")!.data;
    const first = Float32Array.from({ length: 8 }, (_, i) => 0.25 * i);
    const own = new Map([
      ...renamed(timm, /^reg_token$/, "register_tokens"),
      ["cls_token", { shape: [1, 1, 8], data: token.map((v, i) => v - first[i]!) }],
      ["pos_embed", { shape: [1, 5, 8], data: Float32Array.from([...first, ...position.data]) }],
      ["mask_token", { shape: [1, 8], data: new Float32Array(8) }],
    ]);
    const { state, ignored } = toTimm(own);
    expect(ignored).toEqual(["mask_token"]);
    expect([...state.keys()]).toEqual([...timm.keys()]);
    expect([...state.get("cls_token")!.data]).toEqual([...token.map((v, i) => Math.fround(Math.fround(v - first[i]!) + first[i]!))]);
    expect(values(new Map([["pos_embed", state.get("pos_embed")!]]))).toEqual([["pos_embed", [1, 4, 8], [...position.data]]]);
  });
  test("DeiT III's gamma_1 and gamma_2, MAE's decoder, a DINO teacher", () => {
    const deit3 = filled(FAMILIES["DeiT III"]);
    const own = new Map([...deit3].map(([name, v]) => [name.replace(/ls([12])\.gamma/, "gamma_$1"), v] as const));
    expect(values(toTimm(own).state)).toEqual(values(deit3));
    const dino = filled(FAMILIES.DINO);
    const vector = { shape: [2], data: new Float32Array(2) };
    const mae = new Map([...dino, ["mask_token", vector], ["decoder_embed.weight", vector], ["decoder_blocks.0.norm1.weight", vector]]);
    expect(toTimm(mae)).toMatchObject({ ignored: ["mask_token", "decoder_embed.weight", "decoder_blocks.0.norm1.weight"] });
    expect(values(toTimm(mae).state)).toEqual(values(dino));
    const hf = new Map([...renamed(toHuggingFace(dino).state, /^/, "vit."), ["decoder.decoder_norm.weight", vector]]);
    expect(toTimm(hf).ignored).toEqual(["decoder.decoder_norm.weight"]);
    expect(values(toTimm(hf).state)).toEqual(values(dino));
    const wrapped = new Map([...renamed(dino, /^/, "module.backbone."), ["module.head.mlp.0.weight", vector]]);
    const safe = writeSafetensors([...wrapped].map(([name, { shape, data }]) => [name, { dtype: "F32" as const, shape, data }]));
    expect(new Map(readAnyWeights(safe).state)).toEqual(dino);
  });
});

describe("weights of a cousin: what differs, and whose they are", () => {
  const shapesOf = (name: string, numClasses?: number): State =>
    new Map(createModel(name, numClasses).params.map(({ name, shape }) => [name, { shape, data: new Float32Array(0) }]));
  const load = (wanted: string, state: State) => () =>
    refusing(() => checkState(wanted, createModel(wanted).params, state), "weights.safetensors");
  test.each([
    [
      "vit_small_patch14_reg4_dinov2",
      "vit_small_patch14_dinov2",
      /missing: reg_token \[1,4,384\]; misshapen: pos_embed is \[1,1370,384\], expected \[1,1369,384\] \(weights like these are of vit_small_patch14_dinov2\)/,
    ],
    [
      "deit3_small_patch16_224",
      "deit_small_patch16_224",
      /missing: blocks.0.ls1.gamma \[384\], .*are of deit_small_patch16_224, vit_small_patch16_224\)/,
    ],
    [
      "vit_small_patch16_224",
      "vit_small_patch32_224",
      /misshapen: pos_embed is .*patch_embed.proj.weight is \[384,3,32,32\], expected \[384,3,16,16\] \(weights like these are of vit_small_patch32_224\)/,
    ],
    ["deit3_base_patch16_384", "deit3_small_patch16_384", /weights like these are of deit3_small_patch16_384\)/],
    ["deit_small_patch16_224", "deit_small_distilled_patch16_224", /unexpected: dist_token .*are of deit_small_distilled_patch16_224\)/],
    [
      "regnety_004",
      "regnety_002",
      /missing: s2.b2.conv1.conv.weight .*misshapen: s1.b1.conv1.conv.weight is \[24,32,1,1\], expected \[48,32,1,1\].* \(weights like these are of regnety_002\) \(weights.safetensors\)$/,
    ],
    [
      "resnet34",
      "resnet18",
      /missing: layer1.2.conv1.weight \[64,64,3,3\].*and \d+ more \(weights like these are of resnet18\) \(weights.safetensors\)$/,
    ],
    ["resnet18", "resnet34", /unexpected: layer1.2.conv1.weight .*are of resnet34\)/],
    ["resnet18", "resnet50", /misshapen: layer1.0.conv1.weight is \[64,64,1,1\], expected \[64,64,3,3\].*are of resnet50\)/],
    ["regnety_016", "resnet50", /missing: stem.conv.weight \[32,3,3,3\].*unexpected: conv1.weight \[64,3,7,7\].*are of resnet50\)/],
    ["resnet50", "deit_tiny_patch16_224", /unexpected: cls_token \[1,1,192\].*are of deit_tiny_patch16_224, vit_tiny_patch16_224\)/],
    [
      "convnext_tiny",
      "convnext_atto",
      /missing: stages.0.blocks.2.gamma \[96\].*misshapen: stem.0.weight is \[40,3,4,4\], expected \[96,3,4,4\].*are of convnext_atto\)/,
    ],
    [
      "vit_small_patch16_dinov3",
      "vit_small_patch16_dinov3_qkvb",
      /unexpected: blocks.0.attn.q_bias \[384\], .*\(weights like these are of vit_small_patch16_dinov3_qkvb\)/,
    ],
    [
      "vit_small_plus_patch16_dinov3",
      "vit_small_patch16_dinov3",
      /missing: blocks.0.mlp.fc1_g.weight \[1536,384\], .*\(weights like these are of vit_small_patch16_dinov3\)/,
    ],
    ["eva02_tiny_patch14_336", "eva02_small_patch14_224", /weights like these are of eva02_small_patch14_224\)/],
    ["eva02_base_patch14_224", "vit_base_patch14_dinov2", /missing: blocks.0.attn.q_proj.weight .*are of vit_base_patch14_dinov2\)/],
    ["deit_tiny_patch16_224", "regnety_160", /missing: cls_token .*unexpected: stem.conv.weight .*are of regnety_160\)/],
  ])("%s given %s", (wanted, given, message) => {
    expect(load(wanted, shapesOf(given))).toThrow(message);
  });
  test("of a head of another size alone no other model is named; what is of no model is of none", () => {
    const other = load("deit3_small_patch16_224", shapesOf("deit3_small_patch16_224", 10));
    expect(other).toThrow("misshapen: head.weight is [10,384], expected [1000,384], head.bias is [10], expected [1000] (only the head");
    expect(other).not.toThrow(/weights like these/);
    const none = load("deit3_small_patch16_224", without(shapesOf("deit_tiny_patch16_224"), "pos_embed"));
    expect(none).toThrow(/unexpected|misshapen/);
    expect(none).not.toThrow(/weights like these/);
    expect(load("regnety_004", shapesOf("regnety_002", 10))).toThrow("(weights like these are of regnety_002)");
    const lame = load("resnet34", without(shapesOf("resnet34"), "bn1.bias"));
    expect(lame).toThrow("missing: bn1.bias [64] (weights.safetensors)");
  });
});
