import { describe, expect, test } from "vitest";
import { countParams } from "../../models/params.ts";
import { regnetBlocks, regnetConfig, regnetMacs, regnetNames, regnetParams } from "../../models/regnet.ts";
import golden from "../golden/models.json" with { type: "json" };

// Stage widths, depths and groups, parameters, and multiply-adds at 224 pixels, as counted by hooks on timm's models.
const MODELS = [
  ["regnety_002", [24, 56, 152, 368], [1, 1, 4, 7], [3, 7, 19, 46], 3_162_996, 199_514_080],
  ["regnety_004", [48, 104, 208, 440], [1, 3, 6, 6], [6, 13, 26, 55], 4_344_144, 401_842_848],
  ["regnety_006", [48, 112, 256, 608], [1, 3, 7, 4], [3, 7, 16, 38], 6_055_160, 601_220_992],
  ["regnety_008", [64, 128, 320, 768], [1, 3, 8, 2], [4, 8, 20, 48], 6_263_168, 797_176_832],
  ["regnety_016", [48, 120, 336, 888], [2, 6, 17, 2], [2, 5, 14, 37], 11_202_430, 1_612_076_160],
  ["regnety_032", [72, 216, 576, 1512], [2, 5, 13, 1], [3, 9, 24, 63], 19_436_338, 3_176_482_752],
  ["regnety_040", [128, 192, 512, 1088], [2, 6, 12, 2], [2, 3, 8, 17], 20_646_656, 3_973_288_448],
  ["regnety_064", [144, 288, 576, 1296], [2, 7, 14, 2], [2, 4, 8, 18], 30_583_252, 6_355_204_992],
  ["regnety_080", [168, 448, 896, 2016], [2, 4, 10, 1], [3, 8, 16, 36], 39_180_068, 7_963_057_312],
  ["regnety_120", [224, 448, 896, 2240], [2, 5, 11, 1], [2, 4, 8, 20], 51_822_544, 12_092_376_576],
  ["regnety_160", [224, 448, 1232, 3024], [2, 4, 11, 1], [2, 4, 11, 27], 83_590_140, 15_911_510_272],
] as const;

describe("every size", () => {
  test.each(MODELS)("%s", (name, widths, depths, groups, params, macs) => {
    const config = regnetConfig(name)!;
    const blocks = regnetBlocks(config);
    const stages = [1, 2, 3, 4].map((s) => blocks.filter((b) => b.stage === s));
    expect(stages.map((s) => s[0]!.width)).toEqual(widths);
    expect(stages.map((s) => s.length)).toEqual(depths);
    expect(stages.map((s) => s[0]!.groups)).toEqual(groups);
    expect(countParams(regnetParams(config))).toBe(params);
    expect(regnetMacs(config, 224, 224)).toBe(macs);
  });

  test("are all that have a name", () => {
    expect(regnetNames).toEqual(MODELS.map(([name]) => name));
    expect(regnetConfig("regnety_003")).toBeNull();
  });
});

test("squeeze-excite's width follows from the block's input", () => {
  const squeezes = regnetBlocks(regnetConfig("regnety_160")!).map((b) => b.squeeze);
  expect(squeezes).toEqual([8, 56, 56, 112, 112, 112, 112, ...new Array<number>(10).fill(308), 308]);
});

test("names and shapes come in timm's order", () => {
  const { group, stem, depth, w0, wa, wm, seRatio, numClasses } = golden.regnety.config;
  const specs = regnetParams({
    ...regnetConfig("regnety_002")!,
    depth,
    w0,
    wa,
    wm,
    seRatio,
    numClasses,
    groupWidth: group,
    stemWidth: stem,
  });
  expect(specs.map((s) => [s.name, s.shape])).toEqual(golden.regnety.tensors);
});

test("a block begins as its shortcut, running statistics are not trained, decay is for matrices", () => {
  const specs = regnetParams(regnetConfig("regnety_002")!);
  for (const s of specs) {
    if (s.name.endsWith("conv3.bn.weight")) expect(s.init.kind).toBe("zeros");
    expect(s.trainable).toBe(!s.name.includes("running"));
    expect(s.decay).toBe(s.shape.length > 1);
  }
});

test("small images: the strides of stem and stages are free", () => {
  const config = { ...regnetConfig("regnety_002")!, imgSize: 32, stemStride: 1, strides: [1, 2, 2, 2], numClasses: 10 };
  expect(
    regnetBlocks(config)
      .filter((b) => b.stride === 2)
      .map((b) => b.name),
  ).toEqual(["s2.b1", "s3.b1", "s4.b1"]);
  expect(countParams(regnetParams(config))).toBe(3_162_996 - 990 * 369);
  expect(regnetMacs(config, 32, 32)).toBeGreaterThan(4 * regnetMacs({ ...config, strides: [2, 2, 2, 2] }, 32, 32) * 0.9);
});

test("what cannot be is refused", () => {
  const config = regnetConfig("regnety_002")!;
  expect(() => regnetBlocks({ ...config, depth: 0 })).toThrow(/regnety: expected a positive integer depth, got 0/);
  expect(() => regnetBlocks({ ...config, wm: 1 })).toThrow(/regnety: expected wa of 0 or more and wm above 1/);
  expect(() => regnetBlocks({ ...config, strides: [] })).toThrow(/regnety: expected strides as a list of positive integers/);
});
