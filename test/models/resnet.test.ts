/** ResNet's names, shapes and sizes as timm's and torchvision's; its files. */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { createModel } from "../../models/model.ts";
import { countParams, initialState } from "../../models/params.ts";
import { resnetConfigOf } from "../../models/resnet.ts";
import { readWeights, writeWeights } from "../../models/checkpoints/weights.ts";
import { readAnyWeights } from "../../models/checkpoints/formats.ts";
import { convertedFile, convertWeights } from "../../jobs/convert/weights.ts";
import golden from "../golden/resnet.json" with { type: "json" };

test.each(Object.entries(golden.names))(
  "%s has timm's and torchvision's tensors, parameters, multiply-adds and activations",
  (name, recorded) => {
    const model = createModel(`${name}.a1_in1k`);
    const list = model.params.map(({ name, shape }) => `${name}:${shape.join()};`).join("");
    expect([model.params.length, createHash("sha256").update(list).digest("hex")]).toEqual([recorded.tensors, recorded.sha256]);
    expect([countParams(model.params), model.macs, model.activations]).toEqual(recorded.sizes);
  },
);

const small = createModel(golden.larger[1]!.config);
const state = initialState(small.params, 1);

test("a state tells its config; files keep their bits, behind a wrapper's prefix too", () => {
  expect(resnetConfigOf(state)).toEqual({ ...small.config, imgSize: 224 });
  const prefixed = writeWeights(new Map([...state].map(([name, values]) => [`module.${name}`, values])), { config: small.config });
  for (const file of [writeWeights(state, { config: small.config }), prefixed]) {
    const { state: read, info } = readWeights(file);
    expect([...read.keys()].sort()).toEqual([...state.keys()].sort());
    expect(createModel(info!.config as Record<string, unknown>).config).toEqual(small.config);
    const pth = convertedFile(convertWeights(readAnyWeights(file), { to: "timm" }), "torch");
    for (const [name, { data }] of readWeights(pth).state) expect(data).toEqual(state.get(name)!.data);
  }
});

test("what is not there is said", () => {
  const without = new Map([...state].filter(([name]) => !name.startsWith("layer2.1.")));
  const file = writeWeights(new Map([...without, ["layer2.1.conv1.weight", state.get("layer2.1.conv1.weight")!]]), {
    config: small.config,
  });
  expect(() => convertWeights(readAnyWeights(file), { to: "timm" })).toThrow(/missing: layer2\.1\.bn1\.weight \[16\]/);
  expect(() => convertWeights(readAnyWeights(writeWeights(state, { config: small.config })), { to: "hf" })).toThrow(
    /expected a DeiT, ViT, DINOv3, RegNetY or ConvNeXt for Hugging Face's names, got a ResNet/,
  );
  expect(() => createModel({ arch: "resnet", depths: [2, 2, 2] })).toThrow("resnet: expected four depths from 1 to 1000, got [2,2,2]");
  expect(() => createModel({ arch: "resnet", depths: [2, 2, 2, 1e9] })).toThrow(
    "resnet: expected four depths from 1 to 1000, got [2,2,2,1000000000]",
  );
  expect(() => createModel({ arch: "resnet", width: 2 ** 40 })).toThrow("resnet: expected width from 1 to 65536, got 1099511627776");
  expect(() => createModel({ arch: "resnet", block: "wide" })).toThrow(/resnet: expected block "basic" or "bottleneck", got "wide"/);
});
