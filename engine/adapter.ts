/** Requests a device from an adapter, and describes the adapter. */
import { AdapterError } from "./errors.ts";

const OPTIONAL_FEATURES = [
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "timestamp-query",
  "chromium-experimental-subgroup-matrix",
] as const;

/** Limits that kernels can use more of; each is requested at the adapter's maximum. */
const LIMITS = /^max(BufferSize|StorageBuffer|Compute|BindingsPerBindGroup)/;

export interface AdapterOptions {
  /** Refuse any adapter whose name does not contain this (case-insensitive). */
  readonly adapter?: string;
  /** "high-performance" if left out. */
  readonly powerPreference?: GPUPowerPreference;
  /** Optional features to leave unused, e.g. to test a fallback. */
  readonly without?: readonly string[];
  readonly request?: GPURequestAdapterOptions;
}

export interface AdapterDescription extends Pick<GPUAdapterInfo, "vendor" | "architecture" | "device" | "description"> {
  /** Runs on the CPU: times measured on it do not predict a GPU's. */
  readonly software: boolean;
  readonly features: readonly string[];
}

/** "vendor architecture device description", as far as the adapter says. */
export const adapterName = (a: Pick<GPUAdapterInfo, "vendor" | "architecture" | "device" | "description">): string =>
  [a.vendor, a.architecture, a.device, a.description].filter(Boolean).join(" ") || "unnamed adapter";

/** Whether an adapter's name contains `part`, in any case. */
export const named = (name: string, part: string): boolean => name.toLowerCase().includes(part.toLowerCase());

export const preference = ({ powerPreference, request }: AdapterOptions): GPUPowerPreference =>
  powerPreference ?? request?.powerPreference ?? "high-performance";

/** An adapter's names and features, and whether it is software. Browsers differ in what `info` holds; some have none. */
export function describeAdapter(info: Partial<GPUAdapterInfo> | undefined, features: Iterable<string>): AdapterDescription {
  const { vendor = "", architecture = "", device = "", description = "", isFallbackAdapter = false } = info ?? {};
  const name = adapterName({ vendor, architecture, device, description });
  const software = isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render/i.test(name);
  return { vendor, architecture, device, description, software, features: [...features] };
}

/** Throws AdapterError for a null adapter, and for one whose name does not contain `adapter`. */
export function checkAdapter(description: AdapterDescription, { adapter }: AdapterOptions): void {
  const name = adapterName(description);
  if (/\bnull\b/i.test(name)) throw new AdapterError(`initDevice: expected an adapter that computes, got "${name}"`);
  if (adapter && !named(name, adapter)) throw new AdapterError(`initDevice: expected an adapter named "${adapter}", got "${name}"`);
}

/** A new device with all optional features but those in `without`, and the adapter's largest limits. Throws AdapterError. */
export async function requestDevice(gpu: GPU | undefined, options: AdapterOptions) {
  if (!gpu) throw new AdapterError(`initDevice: expected WebGPU (navigator.gpu), got none: ${reasonForNone()}`);
  const adapter = await gpu.requestAdapter({ powerPreference: preference(options), ...options.request });
  if (!adapter) throw new AdapterError("initDevice: expected a WebGPU adapter, got none");
  const without = new Set(options.without);
  const requiredFeatures = OPTIONAL_FEATURES.filter((f) => adapter.features.has(f) && !without.has(f)) as GPUFeatureName[];
  const requiredLimits: Record<string, number> = {};
  for (const name in adapter.limits) {
    if (LIMITS.test(name)) requiredLimits[name] = adapter.limits[name as keyof GPUSupportedLimits] as number;
  }
  const description = describeAdapter(adapter.info, requiredFeatures);
  checkAdapter(description, options);
  return { gpu: await adapter.requestDevice({ requiredFeatures, requiredLimits }), adapter: description, info: adapter.info };
}

const reasonForNone = (): string =>
  globalThis.isSecureContext === false
    ? "this page is not served securely (https or localhost), and browsers then withhold WebGPU"
    : "this browser or runtime has it off or lacks it";
