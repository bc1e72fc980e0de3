/**
 * Preprocessing of an image to a model's input, one protocol per source of published accuracy: resize, crop, mean and std.
 *
 *   official  the short side to size / 0.875, centre crop: https://github.com/facebookresearch/deit/blob/main/datasets.py
 *   timm      the same with the share that timm's weights of that name ask for: https://github.com/huggingface/pytorch-image-models
 *   hf        DeiT: a square of size * 256 / 224, its sides forced, centre crop; DINOv2: so the short side; ViT and DINOv3: a square of the
 *             size itself, bilinear: https://github.com/huggingface/transformers/blob/main/src/transformers/models/deit/convert_deit_timm_to_pytorch.py
 *
 * All three resize bytes as Pillow does; Hugging Face's processors on tensors differ from this by one level in single pixels.
 */
import { BICUBIC, BILINEAR } from "../../kernels/shared/resample.ts";
import { checkImage, middle, resize, resizedSide, resizeShort, toPlanes, type RgbImage } from "./preprocess.ts";

export const PROTOCOLS = ["official", "timm", "hf"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

export interface Placing {
  /** Pixels that the crop keeps, per side. */
  readonly size: number;
  /** The resized image: its short side, or both. */
  readonly resize: number;
  /** Both sides become `resize`, whatever the image's shape. */
  readonly square: boolean;
  readonly filter: keyof typeof FILTERS;
}

/** Plain data. */
export interface Preprocessing extends Placing {
  /** Per channel, of values in [0, 1]. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

const FILTERS = { bicubic: BICUBIC, bilinear: BILINEAR } as const;

/** Per-channel mean and deviation of ImageNet, in [0, 1] units. */
export const IMAGENET = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const CLIP = { mean: [0.48145466, 0.4578275, 0.40821073], std: [0.26862954, 0.26130258, 0.27577711] };
const HALF = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };

/** Up to this size the official code takes images as they are: CIFAR's. */
const SMALL = 32;

/** timm's crop shares of RegNetY by name; those from 3.2 GF on keep 0.95. */
const REGNET_CROP: Readonly<Record<string, number>> = {
  regnety_002: 0.875,
  regnety_004: 0.965,
  regnety_006: 0.875,
  regnety_008: 0.875,
  regnety_016: 0.965,
};

/** And of ConvNeXt, whose larger models keep 0.95 too. */
const CONVNEXT_CROP: Readonly<Record<string, number>> = { convnext_atto: 0.875, convnext_femto: 0.875, convnext_pico: 0.875 };

const DINOV3 = /_dinov3(_qkvb)?$/;

/** Of timm's `vit_` names those whose weights were trained with ImageNet's statistics. */
const SELF_SUPERVISED = /_dinov[23](_qkvb)?$|\.(dino|mae)$|^vit_small_patch8_/;

/** timm's steps of EVA-02: the whole picture from 336 pixels on, and of these names its sides forced. */
const SQUASHED = /^eva02_(base|large)_patch14_448$/;

/** The steps for inputs of `size` pixels. `model` is timm's name; other names count as DeiT. */
export function preprocessing(protocol: Protocol, model: string, size: number): Preprocessing {
  const vit = model.startsWith("vit_"),
    dinov2 = model.endsWith("_dinov2"),
    dinov3 = DINOV3.test(model),
    eva02 = model.startsWith("eva02_");
  const stats = eva02 ? CLIP : vit && protocol !== "official" && !SELF_SUPERVISED.test(model) ? HALF : IMAGENET;
  const steps = { size, square: false, filter: "bicubic" as const, ...stats };
  if (size <= SMALL) return { ...steps, resize: size };
  switch (protocol) {
    case "official":
      return { ...steps, resize: Math.trunc(size / 0.875) };
    case "timm": {
      const share = model.startsWith("regnety_")
        ? (REGNET_CROP[model] ?? 0.95)
        : /^(resnet|convnext_)/.test(model)
          ? (CONVNEXT_CROP[model] ?? 0.95)
          : size === 384 || dinov2 || dinov3 || (eva02 && size >= 336)
            ? 1
            : 0.9;
      return { ...steps, resize: Math.floor(size / share), square: SQUASHED.test(model) };
    }
    case "hf":
      if (dinov3) return { ...steps, resize: size, square: true, filter: "bilinear" };
      if (dinov2) return { ...steps, resize: Math.trunc((256 / 224) * size) };
      return vit
        ? { ...steps, resize: size, square: true, filter: "bilinear" }
        : { ...steps, resize: Math.trunc((256 / 224) * size), square: true };
  }
}

/** Resizes and crops an image of any size to size x size. */
export function preprocess(image: RgbImage, { size, resize: to, square, filter }: Placing): RgbImage {
  checkImage("preprocess", image);
  return square
    ? resize(image, to, to, FILTERS[filter], middle(to, size), middle(to, size))
    : resizeShort(image, to, size, FILTERS[filter]);
}

/** A part of an image, in shares of its width and height. */
export interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** What `preprocess` leaves of an image of this size. */
export function areaOf({ width, height }: Pick<RgbImage, "width" | "height">, { size, resize: to, square }: Placing): Area {
  const across = (side: number) => {
    const whole = square ? to : resizedSide(side, Math.min(width, height), to);
    return [middle(whole, size).from / whole, size / whole] as const;
  };
  const [[x, w], [y, h]] = [across(width), across(height)];
  return { x, y, width: w, height: h };
}

/** Preprocessed images as bytes (B, 3, size, size). */
export function inputBytes(images: readonly RgbImage[]): Uint8Array {
  const planes = images.map(toPlanes);
  const all = new Uint8Array(planes.reduce((n, p) => n + p.length, 0));
  planes.reduce((at, p) => (all.set(p, at), at + p.length), 0);
  return all;
}
