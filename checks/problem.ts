/** An operation on one shape: its kernels by name, and how their results are judged. What the tuner measures and the fuzzer runs. */
import type { Device } from "../engine/device.ts";
import type { Tensor } from "../engine/tensor.ts";

/** Requirements of a kernel beyond WebGPU's guaranteed limits. */
export interface Needs {
  readonly features?: readonly string[];
  /** Threads in a workgroup. */
  readonly invocations?: number;
  readonly workgroupBytes?: number;
  /** Of the largest buffer. */
  readonly bindingBytes?: number;
}

export interface Candidate {
  /** As `--variant` takes it; `DEFAULT` is what runs without a table. */
  readonly name: string;
  readonly needs: Needs;
  /** Launches it. The same inputs each time. */
  run(): readonly Tensor[];
}

export const DEFAULT = "default";

export interface Problem {
  /** As kernels ask it (kernels/shared/tuning.ts): "layerNorm 788x192". */
  readonly question: string;
  /** Two per multiply-add; 0 where memory is all that matters. */
  readonly flops: number;
  /** The default first. */
  readonly candidates: readonly Candidate[];
  /** The fault of these results, or null. */
  fault(results: readonly Float32Array[]): string | null;
  /** Frees the inputs. */
  dispose(): void;
}

/** The requirement that an adapter does not meet, or null. */
export function lacking({ limits, features }: Pick<Device, "limits" | "features">, needs: Needs): string | null {
  const feature = needs.features?.find((f) => !features.has(f));
  if (feature) return feature;
  const sizes = [
    ["threads in a workgroup", needs.invocations, limits.maxComputeInvocationsPerWorkgroup],
    ["bytes of workgroup memory", needs.workgroupBytes, limits.maxComputeWorkgroupStorageSize],
    ["bytes in a buffer", needs.bindingBytes, limits.maxStorageBufferBindingSize],
  ] as const;
  const missing = sizes.find(([, wanted = 0, most]) => wanted > most);
  return missing ? `${missing[1]} ${missing[0]}` : null;
}

/** The first element further off than `tol` times the largest expected. */
export function farOff(name: string, got: Float32Array | undefined, expected: Float32Array | Float64Array, tol: number): string | null {
  if (got?.length !== expected.length) return `${name}: expected ${expected.length} values, got ${got?.length ?? "none"}`;
  let most = 0;
  for (const e of expected) most = Math.max(most, Math.abs(e));
  const i = expected.findIndex((e, j) => !(Math.abs(got[j]! - e) <= tol * most));
  return i < 0 ? null : `${name}[${i}]: expected ${expected[i]!.toPrecision(6)}, got ${got[i]!.toPrecision(6)}`;
}
