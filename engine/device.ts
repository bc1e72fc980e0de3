/** The one place that asks for a GPU: adapter, limits, features, and the errors that WebGPU reports late. */
import { AdapterError, DeviceLostError, OutOfMemoryError, ShaderError, ValidationError } from "./errors.ts";

const OPTIONAL_FEATURES = [
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "timestamp-query",
  "chromium-experimental-subgroup-matrix",
] as const;

// What kernels can use more of; asked for as large as the adapter has.
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
  "maxBindingsPerBindGroup",
] as const;

export interface DeviceOptions {
  /** Where adapters come from; `navigator.gpu` if left out. In Node: `nodeGPU()` of `engine/node.ts`. */
  readonly gpu?: GPU;
  /** Refuse any adapter whose name does not contain this (case-insensitive). */
  readonly adapter?: string;
  readonly request?: GPURequestAdapterOptions;
  /** Optional features to leave unused, e.g. to test a fallback. */
  readonly without?: readonly string[];
  /** How to await a GPU promise; a runtime may need help (see `engine/node.ts`). */
  readonly wait?: <T>(promise: Promise<T>) => Promise<T>;
}

export interface AdapterDescription {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** Runs on the CPU: its speed says nothing about a GPU. */
  readonly software: boolean;
  readonly features: readonly string[];
}

/** Matrices that a subgroup multiplies at once: (M, K) by (K, N). Types as in WGSL. */
export interface SubgroupMatrix {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Counters since the device was made. Public: a test or a user can hold the engine to them. */
export interface Stats {
  launches: number;
  submits: number;
  pipelinesCreated: number;
  buffersCreated: number;
  bindGroupsCreated: number;
  /** Bytes of tensors alive now, of plans' own memory included; `bytesPeak` is the most there ever was. */
  bytesLive: number;
  bytesPeak: number;
  /** Bytes of free buffers kept for reuse. */
  bytesPooled: number;
  tensorsLive: number;
}

export class Device {
  readonly gpu: GPUDevice;
  readonly adapter: AdapterDescription;
  readonly limits: GPUSupportedLimits;
  readonly features: ReadonlySet<string>;
  /** Threads that a subgroup may have, where kernels can use subgroups and the adapter says how large they are. */
  readonly subgroups: { readonly min: number; readonly max: number } | null;
  /** Where the experimental feature is there. */
  readonly subgroupMatrices: readonly SubgroupMatrix[];
  /** What WGSL can say here beyond its first version: names of language extensions. */
  readonly language: ReadonlySet<string>;
  readonly stats: Stats = {
    launches: 0,
    submits: 0,
    pipelinesCreated: 0,
    buffersCreated: 0,
    bindGroupsCreated: 0,
    bytesLive: 0,
    bytesPeak: 0,
    bytesPooled: 0,
    tensorsLive: 0,
  };
  /** Set once the device is gone. */
  lost: DeviceLostError | null = null;
  readonly #wait: <T>(promise: Promise<T>) => Promise<T>;
  #failed: Error | null = null;
  #unverified = 0;
  readonly #checks = new Set<Promise<void>>();

  constructor(
    gpu: GPUDevice,
    adapter: AdapterDescription,
    language: ReadonlySet<string>,
    wait: <T>(promise: Promise<T>) => Promise<T>,
    subgroupMatrices: readonly SubgroupMatrix[] = [],
  ) {
    this.gpu = gpu;
    this.language = language;
    this.adapter = adapter;
    this.limits = gpu.limits;
    this.features = new Set(gpu.features as ReadonlySet<string>);
    const { subgroupMinSize: min, subgroupMaxSize: max } = gpu.adapterInfo;
    this.subgroups = this.features.has("subgroups") && min && max ? { min, max } : null;
    this.subgroupMatrices = this.features.has("chromium-experimental-subgroup-matrix") ? subgroupMatrices : [];
    this.#wait = wait;
    gpu.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      const { error } = event as GPUUncapturedErrorEvent;
      // Commands with a pipeline that did not compile: the pipeline itself reports why, each time it is used.
      if (!/^\[Invalid (ComputePipeline|ShaderModule|CommandBuffer)\b/.test(error.message)) this.fail(typed(error));
    });
    void gpu.lost.then((info) => {
      this.lost = new DeviceLostError(`device lost (${info.reason}): ${info.message || "no reason given"}`);
    });
  }

  /** Remembers an error that WebGPU reported late; the next `check()` throws it. The first one counts, and a shader's own before all. */
  fail(error: Error): void {
    if (!this.#failed || (error instanceof ShaderError && !(this.#failed instanceof ShaderError))) this.#failed = error;
  }

  /** Throws what went wrong since the last check. */
  check(): void {
    if (this.lost) throw this.lost;
    // While a shader is still being verified, what failed may only follow from it.
    if (this.#failed && (this.#unverified === 0 || this.#failed instanceof ShaderError)) {
      const error = this.#failed;
      this.#failed = null;
      throw error;
    }
  }

  /** Something asynchronous that must have gone well before a result may be believed. */
  verify(check: Promise<void>): void {
    this.#unverified++;
    const done = check
      .catch((error: unknown) => this.fail(error as Error))
      .finally(() => {
        this.#unverified--;
        this.#checks.delete(done);
      });
    this.#checks.add(done);
  }

  /** Awaits a GPU promise and everything to verify, then throws what went wrong. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    try {
      const value = await this.#wait(promise);
      while (this.#checks.size > 0) await this.#wait(Promise.all(this.#checks));
      this.check();
      return value;
    } catch (error) {
      // A mapping that a lost device aborted says nothing of the cause; give `lost` its turn to say it.
      if (!(error instanceof DeviceLostError)) await new Promise((resolve) => setTimeout(resolve, 0));
      if (this.lost) throw this.lost;
      throw this.#failed ?? error;
    }
  }
}

function typed(error: GPUError): Error {
  const kind = error.constructor.name;
  if (kind === "GPUOutOfMemoryError") return new OutOfMemoryError(`out of GPU memory: ${error.message}`);
  if (kind === "GPUValidationError") return new ValidationError(error.message);
  return new Error(error.message);
}

let current: Device | undefined;

/** Makes the process's device, or returns the one there is. A lost device is replaced; its tensors are gone. */
export async function initDevice(options: DeviceOptions = {}): Promise<Device> {
  if (current && !current.lost) return current;
  const gpu = options.gpu ?? globalThis.navigator?.gpu;
  if (!gpu) throw new AdapterError("initDevice: expected WebGPU (navigator.gpu), got none: this browser or runtime has it off or lacks it");
  const adapter = await gpu.requestAdapter(options.request);
  if (!adapter) throw new AdapterError("initDevice: expected a WebGPU adapter, got none");
  const description = describeAdapter(adapter);
  const name = adapterName(description);
  if (/\bnull\b/i.test(name)) throw new AdapterError(`initDevice: expected an adapter that computes, got "${name}"`);
  if (options.adapter && !name.toLowerCase().includes(options.adapter.toLowerCase())) {
    throw new AdapterError(`initDevice: expected an adapter named "${options.adapter}", got "${name}"`);
  }
  const without = new Set(options.without);
  const requiredFeatures = OPTIONAL_FEATURES.filter((f) => adapter.features.has(f) && !without.has(f)) as GPUFeatureName[];
  const requiredLimits = Object.fromEntries(LIMITS.map((l) => [l, adapter.limits[l]]));
  const device = await adapter.requestDevice({ requiredFeatures, requiredLimits });
  const language = new Set(gpu.wgslLanguageFeatures as ReadonlySet<string> | undefined);
  current = new Device(
    device,
    { ...description, features: requiredFeatures },
    language,
    options.wait ?? ((promise) => promise),
    matricesOf(adapter),
  );
  return current;
}

export function getDevice(): Device {
  if (!current) throw new Error("getDevice: expected initDevice() to have been awaited, got no device");
  return current;
}

/** Gives the device up, and all memory on it. */
export function closeDevice(): void {
  current?.gpu.destroy();
  current = undefined;
}

/** "vendor architecture device description", as far as the adapter says. */
export const adapterName = (a: Pick<AdapterDescription, "vendor" | "architecture" | "device" | "description">): string =>
  [a.vendor, a.architecture, a.device, a.description].filter(Boolean).join(" ") || "unnamed adapter";

// Of the adapter: Dawn's device lists none.
function matricesOf({ info }: GPUAdapter): SubgroupMatrix[] {
  const { subgroupMatrixConfigs = [] } = info as { subgroupMatrixConfigs?: Iterable<SubgroupMatrix> };
  return Array.from(subgroupMatrixConfigs, ({ componentType, resultComponentType, M, N, K }) => ({
    componentType,
    resultComponentType,
    M,
    N,
    K,
  }));
}

/** What an adapter says of itself, and whether it is software. */
export function describeAdapter(adapter: GPUAdapter): AdapterDescription {
  const { vendor, architecture, device, description } = adapter.info;
  const software =
    adapter.info.isFallbackAdapter ||
    /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render/i.test(`${vendor} ${architecture} ${device} ${description}`);
  return { vendor, architecture, device, description, software, features: [...adapter.features] as string[] };
}
