/** Sizes of every model by name, against the published ones and against those counted on timm's models while they ran. */
import { expect, test } from "vitest";
import { createModel, modelNames } from "../../models/model.ts";
import { countParams } from "../../models/params.ts";
import backbones from "../golden/backbones.json" with { type: "json" };
import convnexts from "../golden/convnext.json" with { type: "json" };
import golden from "../golden/family.json" with { type: "json" };
import resnets from "../golden/resnet.json" with { type: "json" };
import rotary from "../golden/rotary.json" with { type: "json" };

const others = Object.fromEntries(Object.entries({ ...resnets.names, ...convnexts.names }).map(([name, { sizes }]) => [name, sizes]));
const sizes = { ...golden.sizes, ...backbones.sizes, ...rotary.sizes, ...others } as unknown as Readonly<
  Record<string, readonly [parameters: number, macs: number, activations: number]>
>;

/** Parameters, GMACs of one image, and millions of activations as timm's results tables print them. */
const PUBLISHED: readonly (readonly [name: string, parameters: number, gmacs: string, activations: string])[] = [
  ["deit_tiny_patch16_224", 5_717_416, "1.25", "5.97"],
  ["deit_small_patch16_224", 22_050_664, "4.60", "11.95"],
  ["deit_base_patch16_224", 86_567_656, "17.56", "23.90"],
  ["deit_base_patch16_384", 86_859_496, "55.48", "101.56"],
  ["deit_tiny_distilled_patch16_224", 5_910_800, "1.26", "6.01"],
  ["deit_small_distilled_patch16_224", 22_436_432, "4.62", "12.02"],
  ["deit_base_distilled_patch16_224", 87_338_192, "17.66", "24.05"],
  ["deit_base_distilled_patch16_384", 87_630_032, "55.59", "101.82"],
  ["regnety_160", 83_590_140, "15.91", "23.04"],
];

test.each(modelNames)("%s: parameters, multiply-adds and activations as counted on timm's", (name) => {
  const { params, macs, activations } = createModel(name);
  expect([countParams(params), macs, activations]).toEqual(sizes[name]);
});

test.each(PUBLISHED)("%s: the published numbers", (name, parameters, gmacs, activations) => {
  const model = createModel(name);
  expect(countParams(model.params)).toBe(parameters);
  expect((model.macs / 1e9).toFixed(2)).toBe(gmacs);
  expect((model.activations / 1e6).toFixed(2)).toBe(activations);
});

test("there are no more names, and none less", () => {
  expect(modelNames.toSorted()).toEqual(Object.keys(sizes).toSorted());
  for (const name of ["deit_base_distilled_patch32_224", "vit_tiny_distilled_patch16_224", "deit_huge_patch16_224", "regnety_320"]) {
    expect(() => createModel(name)).toThrow(/model: expected a timm name such as/);
  }
});

test("any other size", () => {
  const { params, macs, imageShape } = createModel({
    arch: "deit",
    imgSize: 32,
    patchSize: 4,
    dim: 96,
    depth: 6,
    heads: 3,
    numClasses: 10,
    distilled: true,
  });
  expect(imageShape).toEqual([3, 32, 32]);
  expect(countParams(params)).toBe(48 * 96 + 96 + (2 + 66) * 96 + 6 * (12 * 96 ** 2 + 13 * 96) + 2 * 96 + 2 * (96 * 10 + 10));
  expect(macs).toBe(48 * 96 * 64 + 6 * (12 * 66 * 96 ** 2 + 2 * 66 ** 2 * 96) + 2 * 96 * 10);
  expect(createModel("deit_tiny_distilled_patch16_224", 10).params.find((s) => s.name === "head_dist.weight")?.shape).toEqual([10, 192]);
});
