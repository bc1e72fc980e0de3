/** Preprocessing by protocol, byte for byte what the published codes give: test/golden/preprocess.json. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createModel } from "../../models/model.ts";
import { areaOf, inputBytes, preprocess, preprocessing, type Protocol } from "../../models/images/protocols.ts";
import { resizeBicubic, type RgbImage } from "../../models/images/preprocess.ts";
import { unitValue } from "../golden/fill.ts";

interface Golden {
  readonly columns: readonly string[];
  readonly cases: readonly (readonly [height: number, width: number, k: number, digests: string])[];
}
const golden = JSON.parse(readFileSync(new URL("../golden/preprocess.json", import.meta.url), "utf8")) as Golden;

/** As preprocess.py draws it. */
function picture(height: number, width: number, k: number): RgbImage {
  const data = new Uint8Array(3 * height * width);
  for (let i = 0; i < data.length; i++) data[i] = Math.floor((unitValue(i, k) + 1) * 128);
  if (k % 2 === 0) return { height, width, data };
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i += 3) {
      data[i] = (5 * x + 2 * y) % 256;
      data[i + 1] = (x * height > y * width ? 220 : 40) + (data[i + 1]! % 16);
      data[i + 2] = Math.floor((x * x + y * y) / 7) % 256;
    }
  }
  return { height, width, data };
}

const digest = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex").slice(0, 12);

describe("preprocess", () => {
  test("every picture, protocol and resolution: no byte differs", () => {
    const wrong: string[] = [];
    let compared = 0;
    for (const [height, width, k, digests] of golden.cases) {
      const image = picture(height, width, k);
      digests.split(" ").forEach((expected, i) => {
        const [protocol, model, size] = golden.columns[i]!.split(" ");
        const out = preprocess(image, preprocessing(protocol as Protocol, model!, Number(size)));
        if (digest(out.data) !== expected) wrong.push(`${golden.columns[i]} of ${height}x${width}, k ${k}`);
        compared++;
      });
    }
    expect(wrong).toEqual([]);
    expect(compared).toBe(golden.columns.length * golden.cases.length);
    expect(golden.cases.length).toBeGreaterThanOrEqual(200);
  });

  test("statistics: ImageNet's, but of timm's and Hugging Face's ViT a half", () => {
    for (const protocol of ["official", "timm", "hf"] as const) {
      expect(preprocessing(protocol, "deit_base_patch16_384", 384)).toMatchObject({
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
      });
    }
    expect(preprocessing("timm", "vit_base_patch16_224", 224)).toMatchObject({ mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] });
    expect(preprocessing("hf", "vit_base_patch16_224", 224)).toMatchObject({ mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] });
  });

  test("a model from a config, as files carry it, is preprocessed as the one of timm's name that it is, else as a DeiT", () => {
    const steps = (protocol: Protocol, what: Parameters<typeof createModel>[0], size: number) =>
      preprocessing(protocol, createModel(what).name, size);
    for (const protocol of ["official", "timm", "hf"] as const) {
      for (const name of ["deit_tiny_distilled_patch16_224", "deit_base_patch16_384", "regnety_004", "regnety_160"]) {
        const model = createModel(name, 12);
        const config = JSON.parse(JSON.stringify(model.config)) as Record<string, unknown>;
        expect(createModel(config).name).toBe(name);
        expect(steps(protocol, config, model.imageShape[1])).toEqual(preprocessing(protocol, name, model.imageShape[1]));
      }
      // A plain ViT's config is a plain DeiT's.
      expect(createModel({ ...createModel("vit_base_patch16_224").config }).name).toBe("deit_base_patch16_224");
      const custom = { arch: "deit", imgSize: 224, dim: 64, heads: 1, depth: 3 };
      expect(createModel(custom).name).toBe("custom deit");
      expect(steps(protocol, custom, 224)).toEqual(preprocessing(protocol, "deit_tiny_patch16_224", 224));
    }
    expect(steps("timm", "regnety_004", 224)).toMatchObject({ resize: 232 });
    expect(steps("timm", { ...createModel("regnety_004").config }, 224)).toMatchObject({ resize: 232 });
  });

  test("CIFAR's size: images of it stay as they are", () => {
    const image = picture(32, 32, 3);
    for (const protocol of ["official", "timm", "hf"] as const)
      expect(preprocess(image, preprocessing(protocol, "custom deit", 32)).data).toEqual(image.data);
  });

  test("a batch: planes one after another", () => {
    const data = Uint8Array.from({ length: 12 }, (_, i) => i);
    expect([
      ...inputBytes([
        { height: 2, width: 2, data },
        { height: 2, width: 2, data: data.map((v) => v + 100) },
      ]),
    ]).toEqual([0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11].concat([0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11].map((v) => v + 100)));
  });

  test("refuses sizes and bytes that make no image", () => {
    const image = picture(2, 3, 0);
    expect(() => resizeBicubic(image, 0, 4)).toThrow("resizeBicubic: expected a positive integer height, got 0");
    expect(() => resizeBicubic({ ...image, height: 3 }, 4, 4)).toThrow("resizeBicubic: expected 27 bytes for 3x3 RGB, got 18");
    expect(() => preprocess({ height: 0, width: 3, data: new Uint8Array() }, preprocessing("official", "custom deit", 224))).toThrow(
      "preprocess: expected an image of at least one pixel, got 0x3",
    );
  });
});

test.each([
  // What timm's configs of these weights say: crop share, mean.
  ["deit3_small_patch16_224", 224, 248, 0.485],
  ["deit3_base_patch16_384", 384, 384, 0.485],
  ["vit_small_patch14_dinov2", 518, 518, 0.485],
  ["vit_small_patch16_224.dino", 224, 248, 0.485],
  ["vit_base_patch16_224.mae", 224, 248, 0.485],
  ["vit_small_patch8_224", 224, 248, 0.485],
  ["vit_base_patch8_224", 224, 248, 0.5],
  ["vit_small_patch32_224", 224, 248, 0.5],
  ["vit_small_plus_patch16_dinov3", 256, 256, 0.485],
  ["vit_base_patch16_dinov3_qkvb", 256, 256, 0.485],
  ["eva02_base_patch14_224", 224, 248, 0.48145466],
  ["eva02_small_patch14_336", 336, 336, 0.48145466],
] as const)("timm's steps of %s", (name, size, resize, mean) => {
  const model = createModel(name);
  expect(preprocessing("timm", model.name, model.imageShape[1])).toMatchObject({
    size,
    resize,
    square: false,
    filter: "bicubic",
    mean: [mean, expect.anything(), expect.anything()],
  });
});

test("sides forced: timm's EVA-02 at 448 pixels, Hugging Face's DINOv3", () => {
  expect(preprocessing("timm", "eva02_large_patch14_448", 448)).toMatchObject({ resize: 448, square: true, filter: "bicubic" });
  expect(preprocessing("hf", "vit_small_patch16_dinov3", 224)).toMatchObject({
    resize: 224,
    square: true,
    filter: "bilinear",
    mean: [0.485, 0.456, 0.406],
  });
});

test.each([
  ["official", "deit_tiny_patch16_224", { x: 58 / 341, y: 16 / 256, width: 224 / 341, height: 224 / 256 }],
  ["hf", "deit_tiny_patch16_224", { x: 16 / 256, y: 16 / 256, width: 224 / 256, height: 224 / 256 }],
  ["hf", "vit_tiny_patch16_224", { x: 0, y: 0, width: 1, height: 1 }],
] as const)("%s, %s: the part of a picture of 800 x 600 that the model sees", (protocol, name, area) => {
  expect(areaOf({ width: 800, height: 600 }, preprocessing(protocol, name, 224))).toEqual(area);
});
