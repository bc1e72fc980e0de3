/** ONNX files: what is in them, by their bytes. That runtimes give a model's answers with them: test/slow/onnx.slow.test.ts. */
import { describe, expect, test } from "vitest";
import { toHalf } from "../../checks/half.ts";
import { Random } from "../../kernels/shared/random.ts";
import { numel } from "../../engine/shape.ts";
import { toF32 } from "../../models/checkpoints/dtypes.ts";
import { openWeights } from "../../models/checkpoints/formats.ts";
import { INFO } from "../../models/checkpoints/weights.ts";
import { createModel, type Model } from "../../models/model.ts";
import { wholeFile } from "../../models/onnx/file.ts";
import { Graph } from "../../models/onnx/graph.ts";
import { huggingFaceFiles } from "../../models/onnx/hugging-face.ts";
import { preprocessing } from "../../models/images/protocols.ts";
import { toF16 } from "../../models/half.ts";
import { onnxModel, type OnnxOptions } from "../../models/onnx/model.ts";
import { readOnnx } from "../../models/onnx/read.ts";
import { initialState, type State } from "../../models/params.ts";
import { TINY } from "../tasks/pictures.ts";
import { axesOf, parseOnnx } from "./onnx-file.ts";

const distilled = createModel(TINY);
const plain = createModel({ ...TINY, distilled: false });
const regnet = createModel({ arch: "regnety", imgSize: 32, w0: 8, wa: 8, wm: 2, groupWidth: 8, depth: 3, stemWidth: 8, numClasses: 4 });
const convnext = createModel({ arch: "convnext", imgSize: 32, depths: [1, 1, 2, 1], dims: [4, 4, 8, 8], convMlp: true, numClasses: 3 });
const rope = { ...TINY, distilled: false, pool: "mean" } as const;
const dinov3 = createModel({ ...rope, rope: "dinov3", layerScale: 1e-5, regTokens: 2, swiglu: "split", numClasses: 0 });
const eva02 = createModel({ ...rope, rope: "eva02", qkvFused: false, swiglu: "split", mlpNorm: true, fcNorm: true });
const FLOAT = 1,
  FLOAT16 = 10;

const written = (model: Model, o: OnnxOptions = {}, state: State = initialState(model.params, 3)) => wholeFile(onnxModel(model, state, o));

describe("a model's file", () => {
  test.each([
    ["distilled", distilled, [["logits"], ["logits_cls"], ["logits_dist"]], 5, 16],
    ["plain", plain, [["logits"]], 5, 16],
    ["RegNetY", regnet, [["logits"]], 4, 32],
    ["headless", createModel({ ...TINY, numClasses: 0 }), [["features"]], 24, 16],
    [
      "LayerScale, registers, a norm before",
      createModel({ ...TINY, distilled: false, layerScale: 1e-5, regTokens: 2, posEmbedCls: false, preNorm: true, qkvBias: false }),
      [["logits"]],
      5,
      16,
    ],
    ["mean of patches, a norm after", createModel({ ...TINY, distilled: false, pool: "mean", fcNorm: true }), [["logits"]], 5, 16],
    ["class token and mean, no head", createModel({ ...TINY, distilled: false, pool: "both", numClasses: 0 }), [["features"]], 48, 16],
    ["DINOv3", dinov3, [["features"]], 24, 16],
    ["EVA-02", eva02, [["logits"]], 5, 16],
    ["ConvNeXt", convnext, [["logits"]], 3, 32],
    ["headless RegNetY", createModel({ ...regnet.config, numClasses: 0 }), [["features"]], 32, 32],
  ] as const)("%s: names, any number of images, opset 17, every parameter bit for bit", (_, model, outputs, width, size) => {
    const state = initialState(model.params, 3);
    const file = parseOnnx(written(model, {}, state));
    expect([file.irVersion, file.producer, file.opset]).toEqual([8, "tessera", [{ domain: "", version: 17 }]]);
    expect(file.graph.input.map(axesOf)).toEqual([["pixel_values", FLOAT, "batch", 3, size, size]]);
    expect(file.graph.output.map(axesOf)).toEqual(outputs.map(([name]) => [name, FLOAT, "batch", width]));
    const held = new Map(file.graph.initializer.map((t) => [t.name, t]));
    for (const [name, { shape, data }] of state) {
      expect(held.get(name)).toMatchObject({ type: FLOAT, dims: [...shape] });
      expect(Buffer.from(data.buffer, data.byteOffset, data.byteLength).equals(held.get(name)!.raw), name).toBe(true);
    }
    expect([...readOnnx(written(model, {}, state)).tensors.keys()].sort()).toEqual([...state.keys()].sort());
  });

  test.each([
    ["f32", distilled],
    ["f16", distilled],
    ["f32", regnet],
    ["f16", regnet],
    ["f32", convnext],
    ["f16", dinov3],
    ["f32", eva02],
  ] as const)("%s %#: every name is made once, before it is read, and every constant is read", (dtype, model) => {
    const { graph } = parseOnnx(written(model, { dtype }));
    const constants = graph.initializer.map(({ name }) => name);
    const known = new Set([...constants, ...graph.input.map(({ name }) => name)]);
    expect(known.size).toBe(constants.length + 1);
    const read = new Set<string>();
    for (const { op, input, output } of graph.node) {
      for (const name of input) {
        expect(known, `${op} reads ${name}`).toContain(name);
        read.add(name);
      }
      for (const name of output) {
        expect(known).not.toContain(name);
        known.add(name);
      }
    }
    for (const { name } of graph.output) expect(known).toContain(name);
    expect(constants.filter((name) => !read.has(name))).toEqual([]);
    for (const { name, dims, raw, type } of graph.initializer) expect(raw.length, name).toBe(numel(dims) * { 1: 4, 7: 8, 10: 2 }[type]!);
  });

  test("f16: weights are halves, what goes in and comes out is f32", () => {
    const state = initialState(distilled.params, 3);
    const { graph } = parseOnnx(written(distilled, { dtype: "f16" }, state));
    expect([...graph.input, ...graph.output].map((v) => axesOf(v)[1])).toEqual([FLOAT, FLOAT, FLOAT, FLOAT]);
    const { raw, type } = graph.initializer.find(({ name }) => name === "head.weight")!;
    expect(type).toBe(FLOAT16);
    const values = toF32({ dtype: "F16", shape: [], data: new Uint16Array(raw.slice().buffer) });
    expect([...values]).toEqual(Array.from(state.get("head.weight")!.data, toHalf));
    expect(graph.node.filter(({ op }) => op === "Cast").length).toBe(4);
  });

  test("the same model gives the same bytes, in parts or whole, with its metadata; a fixed batch is a number", () => {
    const file = onnxModel(distilled, initialState(distilled.params, 3), { metadata: { labels: "ü" } });
    const whole = wholeFile(file);
    expect(Buffer.concat([...file.parts()]).equals(whole)).toBe(true);
    expect(Buffer.from(written(distilled, { metadata: { labels: "ü" } })).equals(whole)).toBe(true);
    expect(parseOnnx(whole).metadata).toEqual([{ key: "labels", value: "ü" }]);
    expect(axesOf(parseOnnx(written(plain, { batch: 4 })).graph.input[0]!)).toEqual(["pixel_values", FLOAT, 4, 3, 16, 16]);
  });

  test("DINOv3's config.json, as transformers' DINOv3ViTConfig has it", () => {
    const { "config.json": config } = huggingFaceFiles(
      createModel("vit_small_plus_patch16_dinov3_qkvb"),
      [],
      preprocessing("hf", "", 256),
      "f32",
    );
    expect(config).toMatchObject({
      ...{ model_type: "dinov3_vit", architectures: ["DINOv3ViTModel"], image_size: 256, patch_size: 16, hidden_size: 384 },
      ...{ intermediate_size: 1536, num_hidden_layers: 12, num_attention_heads: 6, use_gated_mlp: true, hidden_act: "silu" },
      ...{ query_bias: true, key_bias: false, value_bias: true, num_register_tokens: 4, layer_norm_eps: 1e-5 },
    });
  });

  test("logits of the head that is asked for", () => {
    const [both, cls] = (["mean", "cls"] as const).map((head) => parseOnnx(written(distilled, { head })).graph.node);
    const source = (nodes: typeof both, name: string) => nodes!.find(({ output }) => output[0] === name)!.input[0];
    expect(source(cls, "logits")).toBe(source(cls, "logits_cls"));
    expect(source(both, "logits")).not.toBe(source(both, "logits_cls"));
  });
});

describe("read again", () => {
  test.each(["f32", "f16"] as const)("%s: every parameter, nothing else, and the metadata", async (dtype) => {
    const state = initialState(distilled.params, 3);
    const read = await openWeights(written(distilled, { dtype, metadata: { [INFO]: "{}" } }, state));
    expect([read.container, { ...read.metadata }, [...read.state.keys()].sort()]).toEqual([
      "onnx",
      { [INFO]: "{}" },
      [...state.keys()].sort(),
    ]);
    for (const [name, { shape, data }] of state) {
      expect(read.state.get(name)!.shape).toEqual([...shape]);
      expect([...read.state.get(name)!.data]).toEqual(Array.from(data, dtype === "f16" ? toHalf : Number));
    }
  });

  test("a damaged file ends in weights or in one line of error", async () => {
    const whole = written(createModel({ ...TINY, dim: 4, depth: 1, mlpRatio: 1 }));
    const random = new Random(5, 0);
    const at = (n: number) => Math.floor(random.uniform(0, n));
    let refused = 0;
    for (let i = 0; i < 500; i++) {
      const damaged = i % 2 === 0 ? whole.slice(0, 11 + at(whole.length - 11)) : whole.slice();
      for (let k = i % 5; k > 0; k--) damaged[11 + at(damaged.length - 11)] = at(256);
      await openWeights(damaged).catch((error: unknown) => {
        refused++;
        expect(error).toMatchObject({ name: "Error", message: expect.stringMatching(/^(onnx|weights): expected [^\n]*, got [^\n]*$/) });
      });
    }
    expect(refused).toBeGreaterThan(200);
  });
});

describe("what no file can be made of", () => {
  test("weights of another model; parameters that no operator reads, or that are missing", () => {
    const state = initialState(plain.params, 3);
    expect(() => onnxModel(distilled, state)).toThrow(/expected the \d+ tensors of this model, got missing: dist_token/);
    const more = { name: "blocks.0.ls1.gamma", shape: [24], init: { kind: "ones" }, trainable: true, decay: false } as const;
    const scaled = { ...plain, params: [...plain.params, more] };
    expect(() => onnxModel(scaled, initialState(scaled.params, 3))).toThrow(
      "onnx: expected a model whose parameters are all exported, got custom deit with blocks.0.ls1.gamma besides",
    );
    expect(() => new Graph(state).weight("gamma")).toThrow(
      "onnx: expected a parameter gamma, got none: this kind of model cannot be exported",
    );
  });

  test("values beyond f16's range, by name; more than 2 GiB, before anything is written", () => {
    const state = new Map(initialState(plain.params, 3));
    const { shape } = state.get("norm.bias")!;
    const large = new Float32Array(24);
    large[3] = -65520;
    state.set("norm.bias", { shape, data: large });
    expect(() => written(plain, { dtype: "f16" }, state)).toThrow(
      "f16: expected values within the range of f16 in norm.bias, got -65520 at element 3",
    );
    const g = new Graph(new Map([["w", { shape: [2 ** 15, 2 ** 14], data: new Float32Array(0) }]]));
    g.output("y", g.weight("w"), [1]);
    expect(() => g.file()).toThrow("onnx: expected a model of less than 2 GiB, the most that an ONNX file holds, got 2147");
  });
});

test("f16: every half is itself again, and what lies between two goes to the nearer, or to the even one", () => {
  const halves = Uint16Array.from({ length: 0x10000 }, (_, i) => i).filter((bits) => (bits & 0x7c00) !== 0x7c00);
  const values = toF32({ dtype: "F16", shape: [], data: halves });
  expect(Buffer.from(toF16("x", values).buffer).equals(Buffer.from(halves.buffer))).toBe(true);
  const between = Array.from(values.slice(0, 0x7bff)).flatMap((v, i) => [0.25, 0.5, 0.75].map((share) => v + share * (values[i + 1]! - v)));
  const found = toF32({ dtype: "F16", shape: [], data: toF16("x", Float32Array.from(between)) });
  expect(between.filter((v, i) => found[i] !== toHalf(v))).toEqual([]);
});
