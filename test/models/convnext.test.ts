/** ConvNeXt's names, shapes and sizes as timm's; its files in timm's, the official repository's and Hugging Face's names. */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { convertedFile, convertWeights } from "../../jobs/convert/weights.ts";
import { readAnyWeights } from "../../models/checkpoints/formats.ts";
import { toHuggingFace, toTimm } from "../../models/checkpoints/names.ts";
import { readWeights, writeWeights } from "../../models/checkpoints/weights.ts";
import { convnextConfigOf } from "../../models/convnext.ts";
import { preprocessing } from "../../models/images/protocols.ts";
import { createModel } from "../../models/model.ts";
import { countParams, initialState, type State } from "../../models/params.ts";
import golden from "../golden/convnext.json" with { type: "json" };

test.each(Object.entries(golden.names))("%s has timm's tensors, parameters, multiply-adds, activations and crop", (name, recorded) => {
  const model = createModel(`${name}.d1_in1k`);
  const list = model.params.map(({ name, shape }) => `${name}:${shape.join()};`).join("");
  expect([model.params.length, createHash("sha256").update(list).digest("hex")]).toEqual([recorded.tensors, recorded.sha256]);
  expect([countParams(model.params), model.macs, model.activations]).toEqual(recorded.sizes);
  expect(preprocessing("timm", name, 224).resize).toBe(Math.floor(224 / recorded.crop));
});

const [{ config }, { config: matrices }] = golden.small as [(typeof golden.small)[0], (typeof golden.small)[0]];
const small = createModel(config);
const state = initialState(small.params, 1);
const renamed = (state: State, names: Readonly<Record<string, string>>): State =>
  new Map(Object.entries(names).map(([to, from]) => [to, state.get(from)!]));
const values = (state: State) => Object.fromEntries([...state].map(([name, { shape, data }]) => [name, [shape, [...data]] as const]));

test("a state tells its config; files keep their bits, behind a wrapper's prefix too", () => {
  expect(convnextConfigOf(state)).toEqual({ ...small.config, imgSize: 224 });
  const prefixed = writeWeights(new Map([...state].map(([name, values]) => [`visual.trunk.${name}`, values])), { config: small.config });
  for (const file of [writeWeights(state, { config: small.config }), prefixed]) {
    const { state: read, info } = readWeights(file);
    expect(values(read)).toEqual(values(state));
    expect(createModel(info!.config as Record<string, unknown>).config).toEqual(small.config);
    const pth = convertedFile(convertWeights(readAnyWeights(file), { to: "timm" }), "torch");
    expect(values(readWeights(pth).state)).toEqual(values(state));
  }
});

test("the official repository's names, as timm reads them", () => {
  const plain = initialState(createModel({ ...config, convMlp: false }).params, 1);
  expect(values(toTimm(renamed(plain, golden.official)).state)).toEqual(values(plain));
});

test.each([
  ["with a classifier", { ...matrices, numClasses: 6 }, "convnext.encoder.stages.1.downsampling_layer.1.weight"],
  ["without", matrices, "encoder.stages.1.downsampling_layer.1.weight"],
])("Hugging Face's names and back, %s: the same bits", (_, of, name) => {
  const timm = initialState(createModel(of).params, 2);
  const { state: hf } = toHuggingFace(timm);
  expect([...hf.keys()]).toContain(name);
  expect(hf.get(name.replace(/downsampling.*/, "layers.0.layer_scale_parameter"))!.shape).toEqual([8]);
  expect(values(toTimm(hf).state)).toEqual(values(timm));
});

test("linear layers are 1x1 convolutions again where timm has them so", () => {
  const atto = createModel("convnext_atto", 2);
  const shapes = (state: State) => [...state].map(([name, { shape }]) => `${name} ${shape}`);
  const timm = new Map(atto.params.map(({ name, shape }) => [name, { shape, data: new Float32Array(0) }]));
  const { state: hf } = toHuggingFace(timm);
  expect(hf.get("convnext.encoder.stages.0.layers.0.pwconv1.weight")!.shape).toEqual([160, 40]);
  expect(shapes(toTimm(hf).state)).toEqual(shapes(timm));
});

test("what is not there, and sizes of no network, are said", () => {
  const without = new Map([...state].filter(([name]) => name !== "stages.2.blocks.1.norm.bias"));
  expect(() => convertWeights(readAnyWeights(writeWeights(without, { config: small.config })), { to: "timm" })).toThrow(
    /missing: stages\.2\.blocks\.1\.norm\.bias \[12\]/,
  );
  const refused = (more: object) => () => createModel({ arch: "convnext", ...more });
  expect(refused({ depths: [2, 2, 2] })).toThrow("convnext: expected four depths from 1 to 1000, got [2,2,2]");
  expect(refused({ dims: [2, 2, 2, 2 ** 40] })).toThrow("convnext: expected four dims from 1 to 65536, got [2,2,2,1099511627776]");
  expect(refused({ imgSize: 31 })).toThrow("convnext: expected imgSize from 32 to 65536, got 31");
  expect(refused({ convMlp: 1 })).toThrow("convnext: expected convMlp true or false, got 1");
});
