/** What the tuner chooses between: an operation on one shape, its kernels by name, and what the results must be. */
import type { Device } from "../../engine/device.ts";
import { Tensor } from "../../engine/tensor.ts";
import type { Shape } from "../../engine/shape.ts";

/** What a kernel wants of an adapter, beyond what every adapter has. */
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
  /** As kernels ask it, see engine/tuning.ts. */
  readonly question: string;
  /** Two per multiply-add; 0 where memory is all that matters. */
  readonly flops: number;
  /** The default first. */
  readonly candidates: readonly Candidate[];
  /** What is wrong with these results, if anything. */
  fault(results: readonly Float32Array[]): string | null;
  /** Gives the inputs' memory back. */
  dispose(): void;
}

/** What an adapter lacks for a kernel, if anything. */
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

/** Seeded values in [-1, 1), exact in f32 (splitmix32). */
export function values(n: number, seed: number): Float32Array {
  let s = Math.imul(seed, 0x9e3779b9);
  return Float32Array.from({ length: n }, () => {
    s = (s + 0x9e3779b9) | 0;
    let t = Math.imul(s ^ (s >>> 16), 0x21f0aaad);
    t = Math.imul(t ^ (t >>> 15), 0x735a2d97);
    return ((t ^ (t >>> 15)) >>> 0) / 2 ** 31 - 1;
  });
}

export const upload = (data: Float32Array, shape: Shape): Tensor => Tensor.from(data, shape);

/** The first element further off than `tol` times the largest expected. */
export function farOff(name: string, got: Float32Array | undefined, expected: Float64Array, tol: number): string | null {
  if (got?.length !== expected.length) return `${name}: expected ${expected.length} values, got ${got?.length ?? "none"}`;
  let most = 0;
  for (const e of expected) most = Math.max(most, Math.abs(e));
  const i = expected.findIndex((e, j) => !(Math.abs(got[j]! - e) <= tol * most));
  return i < 0 ? null : `${name}[${i}]: expected ${expected[i]!.toPrecision(6)}, got ${got[i]!.toPrecision(6)}`;
}
