/** Reads the weights of an ONNX file that this library wrote: their names are timm's, and nothing is folded into them. */
import { numel } from "../../engine/shape.ts";
import { lazyTensor, type SafeTensor } from "../checkpoints/dtypes.ts";
import { quote } from "../shown.ts";
import { TYPES } from "./file.ts";
import { fieldsOf } from "./wire.ts";

/** Constants of the graph: numbers, and the angles of rotary positions. */
const OWN_CONSTANT = /^(scalar_|rotary_(cos|sin)$)/;

export interface OnnxContents {
  /** Views of the file's bytes where alignment allows. */
  readonly tensors: Map<string, SafeTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Throws `onnx: expected …, got …` where the bytes are no such file. */
export function readOnnx(bytes: Uint8Array): OnnxContents {
  const tensors = new Map<string, SafeTensor>();
  const metadata: Record<string, string> = Object.create(null) as Record<string, string>;
  try {
    for (const [field, value] of fieldsOf(bytes)) {
      if (typeof value === "number") continue;
      if (field === 7) readGraph(value, tensors);
      if (field === 14) {
        const entry = Object.fromEntries(fieldsOf(value));
        metadata[text(entry[1])] = text(entry[2]);
      }
    }
  } catch (error) {
    if (error instanceof Error && error.message.startsWith("onnx: ")) throw error;
    throw new Error(`onnx: expected a whole file, got one that breaks off (${(error as Error).message})`);
  }
  return { tensors, metadata };
}

function readGraph(graph: Uint8Array, tensors: Map<string, SafeTensor>): void {
  for (const [field, value] of fieldsOf(graph)) {
    if (field !== 5 || typeof value === "number") continue;
    const shape: number[] = [];
    let [type, name, raw]: [number, string, Uint8Array | null] = [0, "", null];
    for (const [part, given] of fieldsOf(value)) {
      if (part === 1 && typeof given === "number") shape.push(given);
      if (part === 2 && typeof given === "number") type = given;
      if (part === 8) name = text(given);
      if (part === 9 && typeof given !== "number") raw = given;
    }
    const dtype = type === TYPES.FLOAT ? "F32" : type === TYPES.FLOAT16 ? "F16" : null;
    if (dtype === null || OWN_CONSTANT.test(name)) continue;
    const bytes = numel(shape) * (dtype === "F32" ? 4 : 2);
    if (raw?.length !== bytes)
      throw new Error(`onnx: expected ${bytes} bytes for ${quote(name)} ${dtype} [${shape}], got ${raw?.length ?? 0}`);
    if (tensors.has(name)) throw new Error(`onnx: expected every name once, got ${quote(name)} twice`);
    tensors.set(name, lazyTensor(dtype, shape, raw));
  }
}

const text = (value: number | Uint8Array | undefined): string => {
  if (!(value instanceof Uint8Array)) throw new Error("onnx: expected text, got a number");
  return new TextDecoder("utf-8", { fatal: true }).decode(value);
};
