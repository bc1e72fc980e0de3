/** The process's one device: made, adopted from an app or another copy of the package, and closed; and errors that WebGPU reports late. */
import { adapterName, checkAdapter, describeAdapter, named, preference, requestDevice } from "./adapter.ts";
import type { AdapterDescription, AdapterOptions } from "./adapter.ts";
import { Ambient } from "./ambient.ts";
import { AdapterError, DeviceLostError, OutOfMemoryError, ShaderError, ValidationError } from "./errors.ts";

export { adapterName, describeAdapter, type AdapterDescription } from "./adapter.ts";

export interface GpuOptions extends Omit<AdapterOptions, "request"> {
  /** An app's own device to work on. It keeps its limits and features, is never destroyed here, and its other errors stay the app's. */
  readonly device?: GPUDevice;
}

export interface DeviceOptions extends GpuOptions, AdapterOptions {
  /** Where adapters come from; `navigator.gpu` if left out. In Node: `nodeGPU()` of `tessera-gpu/node`. */
  readonly gpu?: GPU;
  /** How to await a GPU promise; a runtime may need help (as Node does). */
  readonly wait?: <T>(promise: Promise<T>) => Promise<T>;
}

/** What a device is made of; see there. */
type Opened = Pick<Device, "gpu" | "adapter" | "language" | "owned"> & { readonly info: Partial<GPUAdapterInfo> | undefined };

export class Device {
  readonly gpu: GPUDevice;
  readonly adapter: AdapterDescription;
  /** WebGPU's own record of the adapter, for kernels that need more than the description. */
  readonly info: Partial<GPUAdapterInfo>;
  readonly limits: GPUSupportedLimits;
  readonly features: ReadonlySet<string>;
  /** Names of WGSL's language extensions that the implementation has. */
  readonly language: ReadonlySet<string>;
  /** Counters since the device was made; public, for tests and users. */
  readonly stats = {
    launches: 0,
    submits: 0,
    pipelinesCreated: 0,
    buffersCreated: 0,
    bindGroupsCreated: 0,
    /** Bytes of live tensors and of plans' memory; `bytesPeak` is the maximum so far. */
    bytesLive: 0,
    bytesPeak: 0,
    /** Bytes of free buffers kept for reuse. */
    bytesPooled: 0,
    /** Bytes of all buffers there are: of tensors, rounded up as the pool has them, free ones, plans', and those that reads go through. */
    bytesAllocated: 0,
    bytesAllocatedPeak: 0,
    tensorsLive: 0,
  };
  /** False for an app's device, which `close()` leaves alone. */
  readonly owned: boolean;
  /** What it was asked for with; a device that is lost is made again with the same. */
  readonly options: DeviceOptions;
  /** Resolves when the device is gone, also by `close()`. */
  readonly lost: Promise<DeviceLostError>;
  /** Set once the device is gone. */
  lostError: DeviceLostError | null = null;
  /** `record` awaits it when a step's launches are listed. True: list them again, other kernels would be chosen now (kernels/gemm/race.ts). */
  listed: (() => Promise<boolean>) | null = null;
  readonly #wait: <T>(promise: Promise<T>) => Promise<T>;
  #failed: Error | null = null;
  readonly #checks = new Set<Promise<void>>();

  constructor({ gpu, adapter, info = {}, language, owned }: Opened, options: DeviceOptions) {
    const { wait, without = [] } = options;
    this.gpu = gpu;
    this.adapter = adapter;
    this.info = info;
    this.limits = gpu.limits;
    // `without` also hides features that the device has unrequested: an app's, or those implied by another feature.
    this.features = new Set([...gpu.features].filter((feature) => !without.includes(feature)));
    this.language = language;
    this.owned = owned;
    this.options = options;
    this.#wait = wait ?? (isFirefox() ? nudging(gpu) : (promise) => promise);
    if (owned) {
      gpu.addEventListener("uncapturederror", (event) => {
        event.preventDefault();
        this.#report((event as GPUUncapturedErrorEvent).error);
      });
    }
    const lost = ({ reason, message }: GPUDeviceLostInfo) =>
      new DeviceLostError(`device lost (${reason}): ${message || "no reason given"}`);
    this.lost = gpu.lost.then((info) => (this.lostError ??= lost(info)));
  }

  /**
   * Runs the engine's own WebGPU calls. On an app's device error scopes separate their errors from the app's, which still reach the
   * app; on an owned device the device reports all errors.
   */
  guard<T>(calls: () => T): T {
    if (this.owned) return calls();
    const filters = ["out-of-memory", "validation"] as const;
    for (const filter of filters) this.gpu.pushErrorScope(filter);
    try {
      return calls();
    } finally {
      for (const _ of filters) {
        const reported = this.gpu.popErrorScope().then((error) => void (error && this.#report(error)));
        this.verify(reported.catch(() => undefined)); // the device is lost: `lost` reports that
      }
    }
  }

  #report({ message, constructor: { name } }: GPUError): void {
    // An invalid pipeline reports its own error each time it is used; errors that follow from it are dropped.
    if (/^\[Invalid (ComputePipeline|ShaderModule|CommandBuffer)\b/.test(message)) return;
    if (name === "GPUOutOfMemoryError") this.fail(new OutOfMemoryError(`out of GPU memory: ${message}`));
    else this.fail(name === "GPUValidationError" ? new ValidationError(message) : new Error(message));
  }

  /** Destroys the device and all memory on it; an app's device is left alone. The next `initDevice()` makes or adopts another. */
  close(): void {
    this.lostError ??= new DeviceLostError("device lost (destroyed): close() was called");
    if (this.owned) this.gpu.destroy();
    if (current.now === this) current.now = undefined;
    if (this.owned && copies().gpu === this.gpu) delete copies().gpu;
  }

  /** The device that settings are kept for: this one, or for a rehearsal's stand-in the real one. */
  get origin(): Device {
    return this;
  }

  /** Smallest and largest subgroup, in threads; null if kernels cannot use subgroups or the adapter does not report sizes. */
  get subgroups(): { readonly min: number; readonly max: number } | null {
    const { subgroupMinSize: min, subgroupMaxSize: max } = this.info;
    return this.features.has("subgroups") && min && max ? { min, max } : null;
  }

  /** Keeps an error that WebGPU reported late; the next `check()` throws it. The first error wins, but a ShaderError replaces any other. */
  fail(error: Error): void {
    if (!this.#failed || (error instanceof ShaderError && !(this.#failed instanceof ShaderError))) this.#failed = error;
  }

  /** Throws what went wrong since the last check. */
  check(): void {
    if (this.lostError) throw this.lostError;
    // While a shader is being verified, other errors may only follow from a fault in it.
    if (this.#failed && (this.#checks.size === 0 || this.#failed instanceof ShaderError)) {
      const error = this.#failed;
      this.#failed = null;
      throw error;
    }
  }

  /** Registers a pending check; results are not trusted until it settles. */
  verify(check: Promise<void>): void {
    const done = check.catch((error: unknown) => this.fail(error as Error)).finally(() => this.#checks.delete(done));
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
      // A mapping that a device loss aborted does not name the loss; `lost` resolves in the next turn.
      if (!(error instanceof DeviceLostError)) await new Promise((resolve) => setTimeout(resolve, 0));
      if (this.lostError) throw this.lostError;
      throw this.#failed ?? error;
    }
  }
}

export type Stats = Device["stats"];

const current = new Ambient<Device | undefined>(undefined);
let pending: Promise<Device> | undefined;

/** State shared by several copies of the package in one page: the device that one made, for the others to adopt. */
const copies = () => ((globalThis as { [COPIES]?: { gpu?: GPUDevice } })[COPIES] ??= {});
const COPIES: unique symbol = Symbol.for("tessera-gpu.device") as never;

/**
 * Makes the process's device, or returns the existing one; simultaneous calls get the same device. An option that is left out requires
 * nothing: `initDevice()` accepts any existing device. Throws AdapterError if there is no WebGPU or no such adapter, or if the existing
 * device was made with other options. A lost device is replaced by one with the same options; its tensors are gone. A second copy
 * of the package in one page adopts the first one's device.
 */
export async function initDevice(options: DeviceOptions = {}): Promise<Device> {
  const device = pending ? await pending : current.now?.lostError ? undefined : current.now;
  if (device) {
    checkSame(device, options);
    return device;
  }
  const { device: before, ...again } = current.now?.options ?? {};
  if (before && !options.device)
    throw new AdapterError("initDevice: expected another device in place of the app's, which is lost, got none: initDevice({ device })");
  pending = open({ ...again, ...options });
  try {
    return (current.now = await pending);
  } finally {
    pending = undefined;
  }
}

/** Throws AdapterError unless the device meets `options`. */
function checkSame(device: Device, { device: gpu, adapter, powerPreference, without }: DeviceOptions): void {
  const refuse = (expected: string, got: string): never => {
    throw new AdapterError(`initDevice: expected ${expected}, got ${got} from an earlier call: close() it first`);
  };
  const name = adapterName(device.adapter);
  if (gpu && gpu !== device.gpu) refuse("the given device", "another one");
  if (adapter && !named(name, adapter)) refuse(`an adapter named "${adapter}"`, `"${name}"`);
  const preferred = preference(device.options);
  if (powerPreference && device.owned && powerPreference !== preferred) refuse(powerPreference, preferred);
  const used = without?.filter((feature) => device.features.has(feature)) ?? [];
  if (used.length > 0) refuse(`a device without ${used.join(", ")}`, "one with it");
}

const isFirefox = (): boolean => /\bFirefox\//.test(globalThis.navigator?.userAgent ?? "");

/** Firefox checks for finished work every 100 ms and at each submit: empty submits while waiting shorten the wait. */
const NUDGE_MS = 2;
const nudging =
  (gpu: GPUDevice) =>
  <T>(promise: Promise<T>): Promise<T> => {
    const timer = setInterval(() => gpu.queue.submit([]), NUDGE_MS);
    return promise.finally(() => clearInterval(timer));
  };

async function open(options: DeviceOptions): Promise<Device> {
  const webgpu = options.gpu ?? globalThis.navigator?.gpu;
  const language = new Set(webgpu?.wgslLanguageFeatures as ReadonlySet<string> | undefined);
  const given = options.device ?? (options.gpu ? undefined : copies().gpu);
  if (given) {
    if (await isLost(given)) throw new AdapterError("initDevice: expected a device that works, got one that is lost");
    const info = (given as { adapterInfo?: GPUAdapterInfo }).adapterInfo;
    const adapter = describeAdapter(info, given.features);
    checkAdapter(adapter, options);
    return new Device({ gpu: given, adapter, info, language, owned: false }, options);
  }
  const made = await requestDevice(webgpu, options);
  const device = new Device({ ...made, language, owned: true }, options);
  if (!options.gpu) {
    copies().gpu = device.gpu;
    void device.lost.then(() => copies().gpu === device.gpu && delete copies().gpu);
  }
  return device;
}

const isLost = (gpu: GPUDevice): Promise<boolean> =>
  Promise.race([gpu.lost.then(() => true), new Promise<false>((resolve) => setTimeout(() => resolve(false), 0))]);

export const hasDevice = (): boolean => current.now !== undefined;

export function getDevice(): Device {
  if (!current.now) throw new Error("getDevice: expected initDevice() to have been awaited, got no device");
  return current.now;
}

/** Runs `body`, synchronous, with `device` in the place of the process's own. */
export const withDevice = <T>(device: Device, body: () => T): T => current.during(device, body);

/** `close()` of the process's device, if there is one. */
export const closeDevice = (): void => current.now?.close();
