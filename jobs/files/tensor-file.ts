/** Tensors that commands read and write: safetensors files, checked before anything reaches the GPU. */
import { numel, sameShape, show, type Shape } from "../../engine/shape.ts";
import { parseSafetensors, writeSafetensors, type SafeTensor } from "../../models/checkpoints/safetensors.ts";
import { shown } from "../../models/shown.ts";
import { refusing, UsageError } from "../errors.ts";
import type { Host } from "../host.ts";

export type TensorFile = ReadonlyMap<string, SafeTensor>;

export interface FloatArray {
  readonly shape: Shape;
  readonly data: Float32Array;
}

/** F32 or U8. */
export interface Values {
  readonly shape: Shape;
  readonly data: Float32Array | Uint8Array;
}

export async function readTensors(host: Host, path: string): Promise<TensorFile> {
  const bytes = await host.readFile(path);
  return refusing(() => parseSafetensors(bytes).tensors, path);
}

export async function writeTensors(host: Host, path: string, tensors: ReadonlyMap<string, Values>): Promise<void> {
  await host.writeFile(
    path,
    writeSafetensors(
      [...tensors].map(([name, { shape, data }]) => [name, { dtype: data instanceof Uint8Array ? "U8" : "F32", shape, data }] as const),
    ),
  );
}

/** Throws unless the file has every tensor of `required` and none but those and `optional`. */
export function checkNames(file: TensorFile, required: readonly string[], optional: readonly string[], path: string): void {
  const missing = required.filter((name) => !file.has(name));
  const unknown = [...file.keys()].filter((name) => !required.includes(name) && !optional.includes(name));
  if (missing.length === 0 && unknown.length === 0) return;
  const wanted = [...required, ...optional.map((name) => `${name} (optional)`)].join(", ");
  throw new UsageError(`expected tensors ${wanted} in ${path}, got ${[...file.keys()].map(shown).join(", ") || "none"}`);
}

/** An F32 tensor of finite numbers. */
export function floatsOf(file: TensorFile, name: string, shape?: Shape): FloatArray {
  const tensor = found(file, name);
  if (tensor.dtype !== "F32") throw new UsageError(`expected F32 for ${name}, got ${tensor.dtype} ${show(tensor.shape)}`);
  if (shape && !sameShape(tensor.shape, shape)) throw new UsageError(`expected ${name} ${show(shape)}, got ${show(tensor.shape)}`);
  if (numel(tensor.shape) === 0) throw new UsageError(`expected at least one element in ${name}, got ${show(tensor.shape)}`);
  const data = tensor.data as Float32Array;
  const at = data.findIndex((v) => !Number.isFinite(v));
  if (at >= 0) throw new UsageError(`expected finite numbers in ${name}, got ${data[at]} at element ${at}`);
  return { shape: tensor.shape, data };
}

/** A U8 tensor. */
export function bytesOf(file: TensorFile, name: string): { readonly shape: Shape; readonly data: Uint8Array } {
  const { dtype, shape, data } = found(file, name);
  if (dtype !== "U8") throw new UsageError(`expected U8 for ${name}, got ${dtype} ${show(shape)}`);
  if (numel(shape) === 0) throw new UsageError(`expected at least one element in ${name}, got ${show(shape)}`);
  return { shape, data: data as Uint8Array };
}

/** I64 or I32 class numbers, each in [0, classes). */
export function labelsOf(file: TensorFile, name: string, batch: number, classes: number): Uint32Array {
  const tensor = found(file, name);
  if (tensor.dtype !== "I64" && tensor.dtype !== "I32")
    throw new UsageError(`expected I64 or I32 for ${name}, got ${tensor.dtype} ${show(tensor.shape)}`);
  if (!sameShape(tensor.shape, [batch])) throw new UsageError(`expected ${name} ${show([batch])}, got ${show(tensor.shape)}`);
  return Uint32Array.from(tensor.data as ArrayLike<number | bigint>, (v) => {
    if (!(v >= 0 && v < classes)) throw new UsageError(`expected ${name} in [0, ${classes - 1}], got ${v}`);
    return Number(v);
  });
}

function found(file: TensorFile, name: string): SafeTensor {
  const tensor = file.get(name);
  if (!tensor) throw new UsageError(`expected a tensor ${name}, got ${[...file.keys()].map(shown).join(", ") || "none"}`);
  return tensor;
}
