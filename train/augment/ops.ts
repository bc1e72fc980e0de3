/** The image operations by name, with explicit arguments, as augmentation samples them and JSON requests them. */
import * as z from "zod/mini";
import { centerCrop, resizeBicubic, type RgbImage } from "../../models/images/preprocess.ts";
import { expectation } from "../../models/schema-fault.ts";
import { gaussianBlur } from "./blur.ts";
import { autoContrast, brightness, color, contrast, equalize, invert, posterize, sharpness, solarize, solarizeAdd } from "./color.ts";
import { crop, hflip, resizedCrop, rotate, shearX, shearY, translateXRel, translateYRel } from "./geometry.ts";

const op = <Name extends string, Shape extends z.core.$ZodShape>(name: Name, shape: Shape) =>
  z.strictObject({ op: z.literal(name), ...shape });
const size = z.int().check(z.minimum(1), z.maximum(16384));
const offset = z.int().check(z.minimum(0));
const position = z.int().check(z.minimum(-16384), z.maximum(16384));
const factor = { factor: z.number() };

const schema = z.discriminatedUnion("op", [
  op("AutoContrast", {}),
  op("Equalize", {}),
  op("Invert", {}),
  op("Rotate", { degrees: z.number() }),
  op("Posterize", { bits: z.int().check(z.minimum(0), z.maximum(8)) }),
  op("Solarize", { threshold: z.number() }),
  op("SolarizeAdd", { add: z.int().check(z.minimum(0), z.maximum(255)) }),
  op("Color", factor),
  op("Contrast", factor),
  op("Brightness", factor),
  op("Sharpness", factor),
  op("ShearX", factor),
  op("ShearY", factor),
  op("TranslateXRel", { fraction: z.number() }),
  op("TranslateYRel", { fraction: z.number() }),
  op("GaussianBlur", { radius: z.number().check(z.minimum(0), z.maximum(1024)) }),
  op("hflip", {}),
  op("crop", { top: position, left: position, height: size, width: size, outside: z.enum(["zero", "reflect"]) }),
  op("resizedCrop", { top: offset, left: offset, height: size, width: size, size }),
  op("resize", { height: size, width: size }),
  op("centerCrop", { size }),
]);

export type AugmentOp = z.infer<typeof schema>;

export const OP_NAMES: readonly AugmentOp["op"][] = schema.def.options.map((option) => option.shape.op.def.values[0]!);

/** A list of operations from JSON. Throws for unknown names, missing arguments and values out of range, naming each. */
export function parseOps(value: unknown): AugmentOp[] {
  if (!Array.isArray(value)) throw new Error(`expected a list of operations, got ${JSON.stringify(value)?.slice(0, 80)}`);
  return value.map((item: unknown, i) => {
    const parsed = schema.safeParse(item);
    if (parsed.success) return parsed.data;
    const name = typeof item === "object" && item !== null && "op" in item ? item.op : undefined;
    if (!OP_NAMES.includes(name as AugmentOp["op"])) {
      throw new Error(`expected one of ${OP_NAMES.join(", ")} as operation ${i}, got ${JSON.stringify(name ?? item)?.slice(0, 80)}`);
    }
    const issue = parsed.error.issues[0]!;
    const fields = Object.keys(schema.def.options.find((option) => option.shape.op.def.values[0] === name)!.shape).slice(1);
    if (issue.code === "unrecognized_keys") {
      throw new Error(
        `expected ${fields.length ? `only ${fields.join(", ")}` : "no argument"} for ${String(name)} (operation ${i}), got ${issue.keys.join(", ")}`,
      );
    }
    const field = String(issue.path[0]);
    throw new Error(
      `${expectation(issue)} for ${field} of ${String(name)} (operation ${i}), got ${JSON.stringify((item as Record<string, unknown>)[field]) ?? "none"}`,
    );
  });
}

/** Applies the operations in order, on bytes (height, width, 3). The input is not changed. */
export function applyOps(image: RgbImage, ops: readonly AugmentOp[]): RgbImage {
  const { height, width, data } = image;
  if (!(height >= 1 && width >= 1 && data.length === 3 * height * width)) {
    throw new Error(`applyOps: expected bytes (height, width, 3) of at least one pixel, got ${data.length} bytes for ${height}x${width}`);
  }
  return ops.reduce(apply, image);
}

function apply(image: RgbImage, op: AugmentOp): RgbImage {
  switch (op.op) {
    case "AutoContrast":
      return autoContrast(image);
    case "Equalize":
      return equalize(image);
    case "Invert":
      return invert(image);
    case "Rotate":
      return rotate(image, op.degrees);
    case "Posterize":
      return posterize(image, op.bits);
    case "Solarize":
      return solarize(image, op.threshold);
    case "SolarizeAdd":
      return solarizeAdd(image, op.add);
    case "Color":
      return color(image, op.factor);
    case "Contrast":
      return contrast(image, op.factor);
    case "Brightness":
      return brightness(image, op.factor);
    case "Sharpness":
      return sharpness(image, op.factor);
    case "ShearX":
      return shearX(image, op.factor);
    case "ShearY":
      return shearY(image, op.factor);
    case "TranslateXRel":
      return translateXRel(image, op.fraction);
    case "TranslateYRel":
      return translateYRel(image, op.fraction);
    case "GaussianBlur":
      return gaussianBlur(image, op.radius);
    case "hflip":
      return hflip(image);
    case "crop":
      return crop(image, op, op.outside);
    case "resizedCrop":
      return resizedCrop(image, op, op.size);
    case "resize":
      return resizeBicubic(image, op.height, op.width);
    case "centerCrop":
      return centerCrop(image, op.size);
  }
}
