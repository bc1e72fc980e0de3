/** Weights from any file that holds them: safetensors, or PyTorch's `.pth`/`.bin`. */
import type { State } from "./params.ts";
import { parseSafetensors, type SafeTensor, toF32 } from "./safetensors.ts";
import { readTorchFile } from "./torch-file.ts";
import { isZip } from "./zip.ts";

export type Container = "safetensors" | "torch";

export interface AnyWeights {
  readonly container: Container;
  /** With the file's own names. */
  readonly state: State;
  /** A safetensors file's metadata, or the text beside a checkpoint's state dict. */
  readonly metadata: Readonly<Record<string, string>>;
}

// A training checkpoint of ours (train/): parameters among other state, and `tessera` in the metadata.
const CHECKPOINT_PARAM = "param.";

// The first bytes of PyTorch's files before 1.6: a pickled number in protocol 2.
const OLD_TORCH = [0x80, 0x02, 0x8a, 0x0a];

/**
 * Told apart by their first bytes. Values become F32; counters that no model here uses (`num_batches_tracked`) are left out, and so is
 * the `module.` that data-parallel training puts before every name. `ema` takes a checkpoint's moving average.
 */
export function readAnyWeights(bytes: Uint8Array, options: { readonly ema?: boolean | undefined } = {}): AnyWeights {
  if (OLD_TORCH.every((b, i) => bytes[i] === b)) fail("a file of PyTorch 1.6 or later (load it there and save it again)", "one in the older format");
  if (isZip(bytes)) {
    const { tensors, texts } = readTorchFile(bytes, options);
    return { container: "torch", state: floats(tensors), metadata: texts };
  }
  if (options.ema) fail("a PyTorch checkpoint, for its moving average", "another file");
  const { tensors, metadata } = parseSafetensors(bytes);
  if (metadata["tessera"] === undefined) return { container: "safetensors", state: floats(tensors), metadata };
  const params = [...tensors].filter(([name]) => name.startsWith(CHECKPOINT_PARAM)).map(([name, t]) => [name.slice(CHECKPOINT_PARAM.length), t] as const);
  return { container: "safetensors", state: floats(new Map(params)), metadata };
}

function floats(tensors: ReadonlyMap<string, SafeTensor>): State {
  const names = [...tensors.keys()];
  const skip = names.length > 0 && names.every((n) => n.startsWith("module.")) ? "module.".length : 0;
  return new Map([...tensors].filter(([name]) => !name.endsWith("num_batches_tracked"))
    .map(([name, tensor]) => [name.slice(skip), { shape: tensor.shape, data: floatsOf(name, tensor) }]));
}

function floatsOf(name: string, tensor: SafeTensor): Float32Array {
  if (!["F32", "F64", "F16", "BF16"].includes(tensor.dtype)) fail(`floating point in ${JSON.stringify(name.slice(0, 80))}`, tensor.dtype);
  return toF32(tensor);
}

function fail(expected: string, got: string): never {
  throw new Error(`weights: expected ${expected}, got ${got}`);
}
