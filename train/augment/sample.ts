/**
 * Draws all random choices for one training image on the CPU, as explicit parameters, before any is applied.
 *
 * A record depends on (settings, source size, seed, epoch, image, copy) alone, and each ingredient has separate draws, so that a
 * resumed run, another batch size or a disabled ingredient does not change the other choices.
 * Order as in timm: crop, flip, auto-augment, colour jitter on bytes; erasing after normalisation. Touvron et al. 2020, table 9,
 * https://arxiv.org/abs/2012.12877
 */
import * as z from "zod/mini";
import { philox } from "../../kernels/shared/random.ts";
import { schemaFault } from "../../models/schema-fault.ts";
import { parseAutoAugment, sampleAutoAugment, type AutoAugment } from "./auto-augment.ts";
import { sampleColorJitter } from "./color-jitter.ts";
import { randomAt, type Draws } from "./draws.ts";
import { sampleErasing, type EraseBox, type Erasing } from "./erasing.ts";
import type { AugmentOp } from "./ops.ts";
import { parseRandAugment, sampleRandAugment, type RandAugment } from "./rand-augment.ts";
import { sampleCrop, type Crop } from "./random-crop.ts";

const probability = z.number().check(z.minimum(0), z.maximum(1));
const padding = z.int().check(z.minimum(0), z.maximum(1024));
const range = (max: number) =>
  z
    .tuple([z.number().check(z.positive(), z.maximum(max)), z.number().check(z.positive(), z.maximum(max))])
    .check(z.refine(([low, high]) => low <= high, "expected the lower bound first"));

const schema = z.strictObject({
  /** The output's side. */
  size: z.int().check(z.minimum(1), z.maximum(16384)),
  crop: z._default(
    z.discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("resized"), scale: z._default(range(1), [0.08, 1]), ratio: z._default(range(100), [3 / 4, 4 / 3]) }),
      z.strictObject({ kind: z.literal("padded"), padding: z._default(padding, 4) }),
      z.strictObject({ kind: z.literal("simple"), padding: z._default(padding, 4) }),
      z.strictObject({ kind: z.literal("none") }),
    ]),
    { kind: "resized", scale: [0.08, 1], ratio: [3 / 4, 4 / 3] },
  ),
  /** The horizontal flip's probability. */
  hflip: z._default(probability, 0.5),
  /** timm's string: "rand-m9-mstd0.5-inc1", "original", "v0", "3a" and the like. */
  autoAugment: z._default(z.nullable(z.string()), "rand-m9-mstd0.5-inc1"),
  /** Largest distance of the brightness, contrast and saturation factors from 1. Applied without a policy or with 3-Augment. */
  colorJitter: z._default(z.number().check(z.minimum(0)), 0.3),
  erasing: z._default(
    z.strictObject({
      prob: z._default(probability, 0.25),
      mode: z._default(z.enum(["pixel", "rand", "const"]), "pixel"),
      count: z._default(z.int().check(z.minimum(1), z.maximum(64)), 1),
    }),
    { prob: 0.25, mode: "pixel", count: 1 },
  ),
});

/** Input of `makeAugment`; a missing field gets the paper's value. */
export type AugmentFields = z.input<typeof schema>;

export interface AugmentSettings {
  readonly size: number;
  readonly crop: Crop;
  readonly hflip: number;
  readonly autoAugment: RandAugment | AutoAugment | null;
  readonly colorJitter: number;
  readonly erasing: Erasing;
}

/** Checked settings, as plain data. Throws for unknown names and values out of range, naming each. */
export function makeAugment(fields: AugmentFields): AugmentSettings {
  const parsed = schema.safeParse(fields);
  if (!parsed.success) {
    throw new Error(`augment: ${schemaFault(parsed.error, fields, "settings")}`);
  }
  const { autoAugment: text, colorJitter, ...rest } = parsed.data;
  const autoAugment = text === null ? null : text.startsWith("rand") ? parseRandAugment(text) : parseAutoAugment(text);
  const jitters = autoAugment === null || (autoAugment.kind === "auto" && autoAugment.name === "3a");
  return { ...rest, autoAugment, colorJitter: jitters ? colorJitter : 0 };
}

/** An appearance of an image in training: `copy` counts its appearances within the epoch. */
export interface ImagePlace {
  readonly seed: number;
  readonly epoch: number;
  readonly image: number;
  readonly copy: number;
}

export interface ImageRecord {
  readonly ops: AugmentOp[];
  /** In the coordinates of the output. */
  readonly erase: EraseBox[];
}

// Streams by four letters, so that they stay distinct from other users of the same seed.
const CROP = 0x61637270; // "acrp"
const FLIP = 0x61666c70; // "aflp"
const AUTO = 0x6161756f; // "aauo"
const JITTER = 0x616a6974; // "ajit"
const ERASE = 0x61657261; // "aera"
const NOISE = 0x616e6f69; // "anoi"

/** The operations and boxes of one appearance of one image of size `source`. */
export function sampleImage(
  settings: AugmentSettings,
  source: { readonly height: number; readonly width: number },
  at: ImagePlace,
): ImageRecord {
  for (const [name, v] of Object.entries(at)) {
    if (!Number.isInteger(v) || v < 0 || v >= 2 ** 32)
      throw new Error(`sampleImage: expected ${name} to be an integer in [0, 2^32), got ${v}`);
  }
  const { size, crop, hflip, autoAugment, colorJitter, erasing } = settings;
  const draws = (stream: number): Draws => randomAt(at.seed, stream, [at.image, at.epoch, at.copy]);
  const ops = sampleCrop(crop, source, size, draws(CROP));
  if (draws(FLIP).uniform() < hflip) ops.push({ op: "hflip" });
  if (autoAugment?.kind === "rand") ops.push(...sampleRandAugment(autoAugment, draws(AUTO)));
  if (autoAugment?.kind === "auto") ops.push(...sampleAutoAugment(autoAugment, draws(AUTO)));
  ops.push(...sampleColorJitter(colorJitter, draws(JITTER)));
  const boxes = erasing.prob > 0 ? sampleErasing(erasing, size, size, draws(ERASE)) : [];
  const noise = (k: number): number => philox([at.image, at.epoch, at.copy, k], [at.seed, NOISE])[0];
  const erase = boxes.map((box, k): EraseBox => ({ ...box, mode: erasing.mode, seed: noise(k) }));
  return { ops, erase };
}
