/** Weights from any file that holds them: safetensors, or PyTorch's `.pth`/`.bin`. */
import { isFloat, type SafeTensor, toF32 } from "./dtypes.ts";
import { quote } from "../shown.ts";
import type { State } from "../params.ts";
import { parseSafetensors } from "./safetensors.ts";
import { isTorchFile, readTorchFile } from "./torch-file.ts";

export type Container = "safetensors" | "torch";

export interface ReadOptions {
  /** Take a PyTorch checkpoint's moving average. */
  readonly ema?: boolean | undefined;
}

/** A file's tensors as they are. */
export interface RawWeights {
  readonly container: Container;
  readonly tensors: ReadonlyMap<string, SafeTensor>;
  /** A safetensors file's metadata, or the text beside a checkpoint's state dict. */
  readonly metadata: Readonly<Record<string, string>>;
}

export interface AnyWeights {
  readonly container: Container;
  /** With the file's own names. Values that are not F32 in the file are made so by each access to `data`. */
  readonly state: State;
  readonly metadata: RawWeights["metadata"];
}

// A training checkpoint of ours (train/): parameters among other state, and `tessera` in the metadata.
const CHECKPOINT_PARAM = "param.";

/** Data-parallel training and torch.compile put these before every name. */
const WRAPPED = /^(module\.|_orig_mod\.)+/;

/** Safetensors and PyTorch's files are told apart by their first bytes. */
export function readRaw(bytes: Uint8Array, options: ReadOptions = {}): RawWeights {
  if (isTorchFile(bytes)) {
    const { tensors, texts } = readTorchFile(bytes, options);
    return { container: "torch", tensors, metadata: texts };
  }
  if (options.ema) fail("a PyTorch checkpoint, for its moving average", "another file");
  return { container: "safetensors", ...parseSafetensors(bytes) };
}

/**
 * Floating-point tensors as F32. Counters that no model here uses (`num_batches_tracked`) are left out, and so are the prefixes of
 * wrappers and whatever a training checkpoint of ours holds besides its parameters.
 */
export function asFloats({ container, tensors, metadata }: RawWeights): AnyWeights {
  const ours = container === "safetensors" && metadata["tessera"] !== undefined;
  const params = ours
    ? [...tensors]
        .filter(([name]) => name.startsWith(CHECKPOINT_PARAM))
        .map(([name, t]) => [name.slice(CHECKPOINT_PARAM.length), t] as const)
    : [...tensors];
  const wrapped = params.length > 0 && params.every(([name]) => WRAPPED.test(name));
  const state = new Map(
    params
      .filter(([name]) => !name.endsWith("num_batches_tracked"))
      .map(([name, tensor]) => {
        if (!isFloat(tensor.dtype)) fail(`floating point in ${quote(name)}`, tensor.dtype);
        return [
          wrapped ? name.replace(WRAPPED, "") : name,
          {
            shape: tensor.shape,
            get data() {
              return toF32(tensor);
            },
          },
        ] as const;
      }),
  );
  return { container, state, metadata };
}

export const readAnyWeights = (bytes: Uint8Array, options: ReadOptions = {}): AnyWeights => asFloats(readRaw(bytes, options));

function fail(expected: string, got: string): never {
  throw new Error(`weights: expected ${expected}, got ${got}`);
}
