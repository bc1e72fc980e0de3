/**
 * The one place that asks for a GPU: adapter, limits, features, and the errors that WebGPU reports late. Longer than most files because
 * a device and what opens, adopts and closes the process's one device keep the same state.
 */
import { adapterName, describeAdapter, matricesOf, type AdapterDescription, type SubgroupMatrix } from "./adapter.ts";
import { AdapterError, DeviceLostError, OutOfMemoryError, ShaderError, ValidationError } from "./errors.ts";

export { adapterName, describeAdapter, type AdapterDescription, type SubgroupMatrix } from "./adapter.ts";

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

export interface GpuOptions {
  /** An app's own device to work on. It keeps its limits and features, is never destroyed here, and its other errors stay the app's. */
  readonly device?: GPUDevice;
  /** Refuse any adapter whose name does not contain this (case-insensitive). */
  readonly adapter?: string;
  /** "high-performance" if left out. */
  readonly powerPreference?: GPUPowerPreference;
  /** Optional features to leave unused, e.g. to test a fallback. */
  readonly without?: readonly string[];
}

export interface DeviceOptions extends GpuOptions {
  /** Where adapters come from; `navigator.gpu` if left out. In Node: `nodeGPU()` of `engine/node.ts`. */
  readonly gpu?: GPU;
  readonly request?: GPURequestAdapterOptions;
  /** How to await a GPU promise; a runtime may need help (see `engine/node.ts`). */
  readonly wait?: <T>(promise: Promise<T>) => Promise<T>;
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
  /** Bytes of all buffers that exist now: of tensors, rounded up as the pool has them, free ones, plans', and what is read back through. */
  bytesAllocated: number;
  bytesAllocatedPeak: number;
  tensorsLive: number;
}

export class Device {
  readonly gpu: GPUDevice;
  readonly adapter: AdapterDescription;
  readonly limits: GPUSupportedLimits;
  readonly features: ReadonlySet<string>;
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
    bytesAllocated: 0,
    bytesAllocatedPeak: 0,
    tensorsLive: 0,
  };
  /** False for an app's device, which `close()` leaves alone. */
  readonly owned: boolean;
  /** Resolves when the device is gone, also by `close()`. */
  readonly lost: Promise<DeviceLostError>;
  /** Set once the device is gone. */
  lostError: DeviceLostError | null = null;
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
    owned = true,
  ) {
    this.gpu = gpu;
    this.owned = owned;
    this.language = language;
    this.adapter = adapter;
    this.limits = gpu.limits;
    this.features = new Set(gpu.features as ReadonlySet<string>);
    this.subgroupMatrices = this.features.has("chromium-experimental-subgroup-matrix") ? subgroupMatrices : [];
    this.#wait = wait;
    if (owned) {
      gpu.addEventListener("uncapturederror", (event) => {
        event.preventDefault();
        this.#report((event as GPUUncapturedErrorEvent).error);
      });
    }
    this.lost = gpu.lost.then((info) => {
      this.lostError ??= new DeviceLostError(`device lost (${info.reason}): ${info.message || "no reason given"}`);
      return this.lostError;
    });
  }

  /**
   * Runs WebGPU calls whose errors are the engine's. On an app's device error scopes keep them apart from the app's own, which reach the
   * app as ever; on an owned device the device reports all of them.
   */
  guard<T>(calls: () => T): T {
    if (this.owned) return calls();
    const filters = ["out-of-memory", "validation"] as const;
    for (const filter of filters) this.gpu.pushErrorScope(filter);
    try {
      return calls();
    } finally {
      for (const _ of filters) {
        this.verify(
          this.gpu.popErrorScope().then(
            (error) => error && this.#report(error),
            () => undefined, // the device is lost, which says so itself
          ) as Promise<void>,
        );
      }
    }
  }

  #report(error: GPUError): void {
    // Commands with a pipeline that did not compile: the pipeline itself reports why, each time it is used.
    if (!/^\[Invalid (ComputePipeline|ShaderModule|CommandBuffer)\b/.test(error.message)) this.fail(typed(error));
  }

  /** Gives the device up, and all memory on it; an app's device lives on. The next `initDevice()` makes or adopts another. */
  close(): void {
    this.lostError ??= new DeviceLostError("device lost (destroyed): close() was called");
    if (this.owned) this.gpu.destroy();
    if (current === this) current = undefined;
    if (this.owned && copies().gpu === this.gpu) delete copies().gpu;
  }

  /** What is set by device is set by this: the device itself, or the one that a rehearsal's stands in for. */
  get origin(): Device {
    return this;
  }

  /** Threads that a subgroup may have, where kernels can use subgroups and the adapter says how large they are. */
  get subgroups(): { readonly min: number; readonly max: number } | null {
    const { subgroupMinSize: min, subgroupMaxSize: max } = (this.gpu as { adapterInfo?: GPUAdapterInfo }).adapterInfo ?? {};
    return this.features.has("subgroups") && min && max ? { min, max } : null;
  }

  /** Remembers an error that WebGPU reported late; the next `check()` throws it. The first one counts, and a shader's own before all. */
  fail(error: Error): void {
    if (!this.#failed || (error instanceof ShaderError && !(this.#failed instanceof ShaderError))) this.#failed = error;
  }

  /** Throws what went wrong since the last check. */
  check(): void {
    if (this.lostError) throw this.lostError;
    // While a shader is still being verified, what failed may only follow from it.
    if (this.#failed && (this.#unverified === 0 || this.#failed instanceof ShaderError)) {
      const error = this.#failed;
      this.#failed = null;
      throw error;
    }
  }

  /** Registers a pending check; results are not trusted until it settles. */
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
      if (this.lostError) throw this.lostError;
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
let madeWith: DeviceOptions = {};
let pending: Promise<Device> | undefined;

/** What copies of the package that meet in one page know of each other: the device that one of them made, for the others to adopt. */
interface Copies {
  gpu?: GPUDevice;
}
const copies = (): Copies => ((globalThis as { [COPIES]?: Copies })[COPIES] ??= {});
const COPIES: unique symbol = Symbol.for("tessera-gpu.device") as never;

/**
 * Makes the process's device, or returns the one there is; calls at the same time get the same one. An option that is left out asks for
 * nothing: `initDevice()` takes whatever device there is. Throws AdapterError where there is no WebGPU or no such adapter, and where the
 * device there is was made with other options. A lost device is replaced by one with the same options; its tensors are gone. A second copy
 * of the package in one page adopts the first one's device.
 */
export async function initDevice(options: DeviceOptions = {}): Promise<Device> {
  if (pending) {
    const device = await pending;
    checkSame(device, options);
    return device;
  }
  if (current && !current.lostError) {
    checkSame(current, options);
    return current;
  }
  // Of a lost device what it was made with; an app's device cannot be made again.
  const { device: before, ...again } = current ? madeWith : {};
  const all = { ...again, ...options };
  if (before && !options.device)
    throw new AdapterError("initDevice: expected another device in place of the app's, which is lost, got none: initDevice({ device })");
  pending = open(all);
  try {
    current = await pending;
    madeWith = all;
    return current;
  } finally {
    pending = undefined;
  }
}

/** Throws where `options` ask for something that this device is not. */
function checkSame(device: Device, { device: gpu, adapter, powerPreference, without }: DeviceOptions): void {
  const refuse = (expected: string, got: string): never => {
    throw new AdapterError(`initDevice: expected ${expected}, got ${got} from an earlier call: close() it first`);
  };
  const name = adapterName(device.adapter);
  if (gpu && gpu !== device.gpu) refuse("the given device", "another one");
  if (adapter && !named(name, adapter)) refuse(`an adapter named "${adapter}"`, `"${name}"`);
  if (powerPreference && device.owned && powerPreference !== preference(madeWith)) refuse(powerPreference, preference(madeWith));
  const used = (without ?? []).filter((feature) => device.features.has(feature));
  if (used.length > 0) refuse(`a device without ${used.join(", ")}`, "one with it");
}

const named = (name: string, part: string): boolean => name.toLowerCase().includes(part.toLowerCase());
const preference = ({ powerPreference, request }: DeviceOptions): GPUPowerPreference =>
  powerPreference ?? request?.powerPreference ?? "high-performance";
const promptly = <T>(promise: Promise<T>): Promise<T> => promise;

/** Firefox looks for finished work every 100 ms, and at each submit: while something is awaited, empty submits make it look. */
const NUDGE_MS = 2;
const nudging =
  (gpu: GPUDevice) =>
  async <T>(promise: Promise<T>): Promise<T> => {
    const timer = setInterval(() => gpu.queue.submit([]), NUDGE_MS);
    try {
      return await promise;
    } finally {
      clearInterval(timer);
    }
  };

const waitFor = (gpu: GPUDevice, { wait }: DeviceOptions) =>
  wait ?? (/\bFirefox\//.test(globalThis.navigator?.userAgent ?? "") ? nudging(gpu) : promptly);

async function open(options: DeviceOptions): Promise<Device> {
  const gpu = options.gpu ?? globalThis.navigator?.gpu;
  const language = new Set(gpu?.wgslLanguageFeatures as ReadonlySet<string> | undefined);
  const shared = options.gpu ? undefined : copies().gpu;
  const given = options.device ?? shared;
  if (given) return adopt(given, language, options);
  if (!gpu) throw new AdapterError(`initDevice: expected WebGPU (navigator.gpu), got none: ${reasonForNone()}`);
  const adapter = await gpu.requestAdapter({ powerPreference: preference(options), ...options.request });
  if (!adapter) throw new AdapterError("initDevice: expected a WebGPU adapter, got none");
  const description = describeAdapter(adapter);
  checkName(description, options);
  const without = new Set(options.without);
  const requiredFeatures = OPTIONAL_FEATURES.filter((f) => adapter.features.has(f) && !without.has(f)) as GPUFeatureName[];
  const requiredLimits = Object.fromEntries(LIMITS.flatMap((l) => (adapter.limits[l] === undefined ? [] : [[l, adapter.limits[l]]])));
  const device = await adapter.requestDevice({ requiredFeatures, requiredLimits });
  if (!options.gpu) {
    copies().gpu = device;
    void device.lost.then(() => copies().gpu === device && delete copies().gpu);
  }
  return withheld(
    new Device(device, { ...description, features: requiredFeatures }, language, waitFor(device, options), matricesOf(adapter)),
    options,
  );
}

async function adopt(gpu: GPUDevice, language: ReadonlySet<string>, options: DeviceOptions): Promise<Device> {
  if (await isLost(gpu)) throw new AdapterError("initDevice: expected a device that works, got one that is lost");
  const description = describeAdapter({ info: (gpu as { adapterInfo?: GPUAdapterInfo }).adapterInfo, features: gpu.features });
  checkName(description, options);
  return withheld(new Device(gpu, description, language, waitFor(gpu, options), [], false), options);
}

/** Features that are there unasked (an app's, or what another feature brings along) are hidden from kernels too. */
function withheld(device: Device, { without = [] }: DeviceOptions): Device {
  for (const feature of without) (device.features as Set<string>).delete(feature);
  return device;
}

const isLost = (gpu: GPUDevice): Promise<boolean> =>
  Promise.race([gpu.lost.then(() => true), new Promise<false>((resolve) => setTimeout(() => resolve(false), 0))]);

function checkName(description: AdapterDescription, { adapter }: DeviceOptions): void {
  const name = adapterName(description);
  if (/\bnull\b/i.test(name)) throw new AdapterError(`initDevice: expected an adapter that computes, got "${name}"`);
  if (adapter && !named(name, adapter)) throw new AdapterError(`initDevice: expected an adapter named "${adapter}", got "${name}"`);
}

const reasonForNone = (): string =>
  globalThis.isSecureContext === false
    ? "this page is not served securely (https or localhost), and browsers then withhold WebGPU"
    : "this browser or runtime has it off or lacks it";

export function getDevice(): Device {
  if (!current) throw new Error("getDevice: expected initDevice() to have been awaited, got no device");
  return current;
}

/** Runs `body`, synchronous, with `device` in the place of the process's own. */
export function withDevice<T>(device: Device, body: () => T): T {
  const before = current;
  current = device;
  try {
    return body();
  } finally {
    current = before;
  }
}

/** `close()` of the process's device, if there is one. */
export function closeDevice(): void {
  current?.close();
}
