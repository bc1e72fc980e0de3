/** Weights from any file that holds them: safetensors, or PyTorch's `.pth`/`.bin`. */
import { isFloat, type SafeTensor, toF32 } from "./dtypes.ts";
import { quote } from "../shown.ts";
import { type FileBytes, wholeOf } from "./file-bytes.ts";
import type { State } from "../params.ts";
import { kindOfFile } from "./other-kinds.ts";
import { unwrapped } from "./prefixes.ts";
import { isSafetensors, parseSafetensors } from "./safetensors.ts";
import type { StateDictChoice } from "./state-dict.ts";
import { isTorchFile, readTorchFile } from "./torch-file.ts";

export type Container = "safetensors" | "torch";

/** Which weights to take from a file with several; `key` may also be a prefix of names. */
export type ReadOptions = StateDictChoice;

/** A file's tensors as they are. */
export interface RawWeights {
  readonly container: Container | "onnx";
  readonly tensors: ReadonlyMap<string, SafeTensor>;
  /** Names whose values are not tensors. */
  readonly others: readonly string[];
  /** A safetensors file's metadata, or the text beside a checkpoint's state dict. */
  readonly metadata: Readonly<Record<string, string>>;
}

export interface AnyWeights {
  readonly container: RawWeights["container"];
  /** With the file's own names. Values that are not F32 in the file are made so by each access to `data`. */
  readonly state: State;
  /** Names in the file that are not the model's: counters, parts of a wrapper, values that are not tensors. */
  readonly ignored: readonly string[];
  readonly metadata: RawWeights["metadata"];
}

// A Tessera training checkpoint (train/) holds parameters beside other state, and `tessera` in the metadata.
const CHECKPOINT_PARAM = "param.";

/** Counters of layers and averages, and tables computed from a model's sizes. */
const BOOKKEEPING = /(^|\.)(num_batches_tracked|n_averaged|position_ids|relative_position_index)$/;

/** Bytes that tell a file's kind. */
const START = 1024;

/** Tells the kinds of files apart by their first bytes. Throws for a file without weights, naming its kind. */
export function readRaw(bytes: FileBytes, options: ReadOptions = {}): RawWeights {
  const start = bytes.subarray(0, Math.min(bytes.length, START));
  if (!isSafetensors(start)) {
    if (isTorchFile(start)) {
      const { tensors, others, texts } = readTorchFile(bytes, options);
      return { container: "torch", tensors, others: [...others].map(([name, kind]) => `${name} (${kind})`), metadata: texts };
    }
    const kind = kindOfFile(start);
    if (kind !== null) fail("safetensors or a PyTorch checkpoint", kind);
  }
  const file = parseSafetensors(bytes);
  if (options.ema) fail("a PyTorch checkpoint, for its moving average", "a safetensors file");
  return { container: "safetensors", others: [], ...file };
}

/**
 * Floating-point tensors as F32, without the prefixes of wrappers. Leaves out counters, and everything but the parameters of a Tessera
 * training checkpoint.
 */
export function asFloats({ container, tensors, others, metadata }: RawWeights, { key }: ReadOptions = {}): AnyWeights {
  const ours = container === "safetensors" && metadata["tessera"] !== undefined;
  const params = ours
    ? [...tensors]
        .filter(([name]) => name.startsWith(CHECKPOINT_PARAM))
        .map(([name, t]) => [name.slice(CHECKPOINT_PARAM.length), t] as const)
    : [...tensors];
  const counted = (name: string, { dtype }: SafeTensor): boolean => BOOKKEEPING.test(name) && !isFloat(dtype);
  const { entries, ignored } = unwrapped(
    params.filter(([name, tensor]) => !counted(name, tensor)),
    key,
  );
  const state = new Map(
    entries.map(([name, tensor]) => {
      if (!isFloat(tensor.dtype)) fail(`floating point in ${quote(name)}`, tensor.dtype);
      return [
        name,
        {
          shape: tensor.shape,
          get data() {
            return toF32(tensor);
          },
        },
      ] as const;
    }),
  );
  return { container, state, ignored: [...ignored, ...others], metadata };
}

/** How an ONNX file of this library begins: its format's version, and who wrote it. */
const ONNX_START = "\x08\x08\x12\x07tessera";

/** Whether a file is an ONNX file that this library wrote. */
export const isOnnx = (bytes: FileBytes): boolean =>
  String.fromCharCode(...bytes.subarray(0, Math.min(bytes.length, ONNX_START.length))) === ONNX_START;

/** As `readAnyWeights`, and ONNX files of this library, for which a reader is loaded. */
export async function openWeights(bytes: FileBytes, options: ReadOptions = {}): Promise<AnyWeights> {
  if (!isOnnx(bytes)) return readAnyWeights(bytes, options);
  const { readOnnx } = await import("../onnx/read.ts");
  return asFloats({ container: "onnx", others: [], ...readOnnx(wholeOf(bytes)) }, options);
}

export const readAnyWeights = (bytes: FileBytes, options: ReadOptions = {}): AnyWeights => asFloats(readRaw(bytes, options), options);

function fail(expected: string, got: string): never {
  throw new Error(`weights: expected ${expected}, got ${got}`);
}
