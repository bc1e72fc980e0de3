/**
 * Memory of tensors. A `Storage` is one buffer, or a placeholder for one while a step is being recorded.
 * Buffers come from a pool and go back to it when the scope that made them ends.
 */
import { getDevice, type Device } from "./device.ts";
import { TooLargeError } from "./errors.ts";
import { madeOnce, perDevice } from "./made-once.ts";

export class Storage {
  readonly bytes: number;
  readonly device: Device;
  /** `null` while only recorded, and after the memory went back to the pool. */
  buffer: GPUBuffer | null;
  /** recorded: without memory until its plan is made · live · freed */
  state: "recorded" | "live" | "freed";
  /** Set on a recorded storage whose values are written straight into another, such as a gradient into the optimizer's buffer. */
  placed: { readonly storage: Storage; readonly offset: number } | null = null;
  /** What goes back to the pool when it is freed or collected; null for a plan's memory and for an app's buffer. */
  readonly pooled: Pooled | null;
  /** Its memory is a plan's. */
  #planned = false;

  constructor(device: Device, bytes: number, buffer: GPUBuffer | null, pooled: Pooled | null = null) {
    this.device = device;
    this.bytes = bytes;
    this.buffer = buffer;
    this.state = buffer ? "live" : "recorded";
    this.pooled = pooled;
    if (pooled) account(device, bytes, 1);
  }

  /** Where its values lie in the end. */
  get place(): { readonly storage: Storage; readonly offset: number } {
    return this.placed ?? { storage: this, offset: 0 };
  }

  /** The buffer; throws if there is none, with the reason. */
  use(what: string): GPUBuffer {
    const device = getDevice();
    if (this.state === "live" && (this.device === device || this.device === device.origin)) return this.buffer!;
    if (this.state === "freed")
      throw new Error(`${what}: expected a live tensor, got one whose scope has ended (keep() it to use it later)`);
    if (this.state === "recorded")
      throw new Error(`${what}: expected a tensor with a value, got one that only exists inside a recording (return it to read it)`);
    throw new Error(`${what}: expected a tensor of this device, got one of a device that is gone`);
  }

  /** Gives a recorded storage its memory (`buffer`), or marks it as existing only inside the plan (`null`). */
  settle(buffer: GPUBuffer | null): void {
    this.buffer = buffer;
    this.state = buffer ? "live" : "freed";
    this.#planned = buffer !== null;
    if (buffer) this.device.stats.tensorsLive++;
  }

  /** Gives the memory back; using the tensor afterwards is an error. */
  free(): void {
    if (this.state !== "live") return;
    this.state = "freed";
    this.buffer = null;
    collector.unregister(this);
    if (this.pooled) giveBack(this.pooled);
    else if (this.#planned) this.device.stats.tensorsLive--;
  }
}

/** A buffer of the pool's in use. */
interface Pooled {
  readonly device: Device;
  readonly bytes: number;
  readonly buffer: GPUBuffer;
}

function giveBack({ device, bytes, buffer }: Pooled): void {
  account(device, -bytes, -1);
  freeBuffers(device, buffer.size).push(buffer);
  device.stats.bytesPooled += buffer.size;
}

let warned = false;

const collector = new FinalizationRegistry<Pooled>((dropped) => {
  if (dropped.device.lostError) return;
  giveBack(dropped);
  if (warned) return;
  warned = true;
  console.warn(
    `tessera-gpu: a tensor (${dropped.buffer.label}) was dropped without dispose(); its ${dropped.bytes} bytes were held until it was collected. Use scope() or dispose(). Said once.`,
  );
});

/** Registers a storage that no scope frees: without dispose() its memory returns to the pool when it is garbage-collected. */
function watch(storage: Storage): void {
  if (!storage.pooled) return;
  collector.unregister(storage);
  collector.register(storage, storage.pooled, storage);
}

/** Adds live memory to the counters (negative: removes it). A plan's memory counts no tensors. */
export function account(device: Device, bytes: number, tensors: number): void {
  const { stats } = device;
  stats.bytesLive += bytes;
  stats.tensorsLive += tensors;
  if (stats.bytesLive > stats.bytesPeak) stats.bytesPeak = stats.bytesLive;
}

/** The pool: buffers free for reuse, by size. */
const poolOf = perDevice(() => new Map<number, GPUBuffer[]>());

const freeBuffers = (device: Device, size: number): GPUBuffer[] => madeOnce(poolOf(device), size, () => []);

/** The usages of a tensor's buffer: STORAGE, COPY_SRC and COPY_DST. */
export const STORAGE = 0x80 | 0x04 | 0x08;

/** Makes a buffer and counts its bytes. Every buffer of the engine that outlives a call is made here. */
export function createBuffer(device: Device, descriptor: GPUBufferDescriptor): GPUBuffer {
  device.check();
  const { stats } = device;
  stats.buffersCreated++;
  stats.bytesAllocated += descriptor.size;
  stats.bytesAllocatedPeak = Math.max(stats.bytesAllocatedPeak, stats.bytesAllocated);
  return device.guard(() => device.gpu.createBuffer(descriptor));
}

/** A buffer that holds these values, and room for 16 bytes at least. */
export function filledBuffer(device: Device, label: string, data: Uint32Array, usage: number): GPUBuffer {
  const buffer = createBuffer(device, { label, size: Math.max(data.byteLength, 16), usage, mappedAtCreation: true });
  new Uint32Array(buffer.getMappedRange()).set(data);
  buffer.unmap();
  return buffer;
}

/** The inverse of `createBuffer`. */
export function destroyBuffer(device: Device, buffer: GPUBuffer): void {
  device.stats.bytesAllocated -= buffer.size;
  buffer.destroy();
}

/** Sizes are rounded up to an eighth of a power of two, so that near sizes share buffers at 12.5 % waste. */
function bucketOf(bytes: number): number {
  const step = Math.max(256, 2 ** Math.floor(Math.log2(bytes)) / 8);
  return Math.ceil(bytes / step) * step;
}

/** Memory for `bytes` (rounded up to 4), from the pool; it belongs to the innermost scope. */
export function allocate(bytes: number, what: string): Storage {
  const device = getDevice();
  const size = wholeWords(device, bytes, what);
  const bucket = Math.min(bucketOf(size), Math.max(size, device.limits.maxStorageBufferBindingSize));
  let buffer = freeBuffers(device, bucket).pop();
  if (buffer) device.stats.bytesPooled -= bucket;
  else buffer = createBuffer(device, { label: what, size: bucket, usage: STORAGE });
  const storage = new Storage(device, size, buffer, { device, bytes: size, buffer });
  own(storage);
  return storage;
}

/** An app's buffer as a storage: freeing it leaves the buffer alone. */
export const borrow = (buffer: GPUBuffer): Storage => new Storage(getDevice(), buffer.size, buffer);

/** A storage without memory yet, for a recording. */
export function promise(bytes: number, what: string): Storage {
  const device = getDevice();
  return new Storage(device, wholeWords(device, bytes, what), null);
}

/** `bytes` in whole words of four; throws where a tensor cannot have so many. */
function wholeWords({ limits }: Device, bytes: number, what: string): number {
  const most = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
  if (bytes > most) throw new TooLargeError(`${what}: expected at most ${most} bytes in one tensor on this adapter, got ${bytes}`);
  return Math.ceil(bytes / 4) * 4;
}

/** Destroys the pool's unused buffers. Launches that are not yet submitted may still use them: see `trimPool` of launch.ts. */
export function clearPool(): void {
  const device = getDevice();
  for (const free of poolOf(device).values()) for (const buffer of free.splice(0)) destroyBuffer(device, buffer);
  device.stats.bytesPooled = 0;
}

const scopes: Set<Storage>[] = [];

/** Assigns a new storage to the innermost scope; without a scope, garbage collection frees it. */
function own(storage: Storage): void {
  const scope = scopes.at(-1);
  if (scope) scope.add(storage);
  else watch(storage);
}

/**
 * Runs `body`, then frees the memory that it allocated, except of the tensors in its result (a tensor, or
 * arrays and objects of them), which pass to the enclosing scope. Synchronous only: read results outside.
 */
export function scope<T>(body: () => T): T {
  const { result, storages } = collect(body);
  const results = storagesIn(result);
  for (const storage of storages) {
    if (results.has(storage)) own(storage);
    else storage.free();
  }
  if (result instanceof Promise) throw new Error("scope: expected a synchronous function, got one that returns a promise");
  return result;
}

/** Runs `body` and returns the storages that it allocated, which the caller frees. */
export function collect<T>(body: () => T): { result: T; storages: ReadonlySet<Storage> } {
  const inner = new Set<Storage>();
  scopes.push(inner);
  try {
    return { result: body(), storages: inner };
  } catch (error) {
    for (const storage of inner) storage.free();
    throw error;
  } finally {
    scopes.splice(scopes.indexOf(inner), 1);
  }
}

/** Takes a tensor out of every scope: it lives until it is disposed of. */
export function keep<T extends { readonly storage: Storage }>(tensor: T): T {
  for (const scope of scopes) scope.delete(tensor.storage);
  watch(tensor.storage);
  return tensor;
}

/** The storages of all tensors in a value made of arrays, plain objects and tensors. */
export function storagesIn(value: unknown, into = new Set<Storage>()): Set<Storage> {
  if (typeof value !== "object" || value === null) return into;
  const { storage } = value as { storage?: unknown };
  if (storage instanceof Storage) into.add(storage);
  else if (Array.isArray(value)) for (const v of value) storagesIn(v, into);
  else if (Object.getPrototypeOf(value) === Object.prototype) for (const v of Object.values(value)) storagesIn(v, into);
  return into;
}
