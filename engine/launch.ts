/** Launches of kernels: to the GPU at once, or onto the recording in progress. */
import { Ambient } from "./ambient.ts";
import { getDevice, type Device } from "./device.ts";
import { allocate, clearPool, promise, type Storage } from "./memory.ts";
import type { Pipeline } from "./pipeline.ts";

export interface Binding {
  readonly storage: Storage;
  /** Bytes; a multiple of 256. */
  readonly offset: number;
  readonly bytes: number;
  readonly access: "read" | "write" | "update";
}

/** Rewrites the launches of a recording that has ended; what they compute stays the same. */
export type Pass = (launches: readonly Launch[]) => Launch[];

export interface Launch {
  readonly pipeline: Pipeline;
  readonly bindings: readonly Binding[];
  /** Holds the launch's params, if it has any; never changes. */
  readonly uniform: GPUBuffer | null;
  readonly groups: readonly [number, number, number];
  /** What its recording goes through at the end. */
  readonly pass?: Pass;
}

/** Collects launches while a step is recorded (`plan.ts`). */
const recorder = new Ambient<{ readonly launches: Launch[] } | null>(null);

export const isRecording = (): boolean => recorder.now !== null;

/** Appends the launches of `body` to `to` instead of running them. */
export function withRecorder<T>(to: { readonly launches: Launch[] }, body: () => T): T {
  if (isRecording()) throw new Error("record: expected no recording in progress, got a recording inside another");
  return recorder.during(to, body);
}

/** Memory for a kernel's output: from the pool, or promised while recording. */
export const output = (bytes: number, what: string): Storage => (isRecording() ? promise(bytes, what) : allocate(bytes, what));

let replacement: ((pipeline: Pipeline) => Pipeline) | null = null;

/** Has every launch from now on made with what `replace` returns for its pipeline; null ends that. */
export const replacePipelines = (replace: typeof replacement): void => void (replacement = replace);

export function launch(asked: Launch): void {
  const item = replacement ? { ...asked, pipeline: replacement(asked.pipeline) } : asked;
  checkAliases(item);
  if (recorder.now) recorder.now.launches.push(item);
  else runNow(item);
}

/** The launches recorded so far, if a recording is in progress. */
export const recorded = (): readonly Launch[] | null => recorder.now?.launches ?? null;

/** Has the latest launch ask for a pass over its recording, and returns it; null outside of a recording. */
export function askForPass(pass: Pass): Launch | null {
  const launches = recorder.now?.launches;
  return launches ? (launches[launches.length - 1] = { ...launches.at(-1)!, pass }) : null;
}

/** Whether two bindings share bytes, where their values lie in the end. */
export function overlap(a: Binding, b: Binding): boolean {
  const [x, y] = [a.storage.place, b.storage.place];
  const [i, j] = [x.offset + a.offset, y.offset + b.offset];
  return x.storage === y.storage && i < j + b.bytes && j < i + a.bytes;
}

// WebGPU's usage scope is the buffer, not the range: reading one part while writing another is refused.
function checkAliases({ pipeline, bindings }: Launch): void {
  const clash = (a: Binding, b: Binding) => a !== b && a.storage === b.storage && (b.access === "read" || overlap(a, b));
  if (bindings.some((a) => a.access !== "read" && bindings.some((b) => clash(a, b))))
    throw new Error(`${pipeline.label}: expected outputs that share no memory with other tensors of the launch, got an overlap`);
}

/** `buffers` in binding order, then the uniform. */
export function bindGroup(
  device: Device,
  { pipeline, bindings, uniform }: Launch,
  buffers: readonly { buffer: GPUBuffer; offset: number }[],
): GPUBindGroup {
  device.stats.bindGroupsCreated++;
  const entries: GPUBindGroupEntry[] = bindings.map(({ bytes }, binding) => ({ binding, resource: { ...buffers[binding]!, size: bytes } }));
  if (uniform) entries.push({ binding: bindings.length, resource: { buffer: uniform } });
  return device.guard(() => device.gpu.createBindGroup({ label: pipeline.label, layout: pipeline.layout, entries }));
}

/** The launches that wait. */
let open: { readonly device: Device; readonly encoder: GPUCommandEncoder; readonly pass: GPUComputePassEncoder; count: number } | null =
  null;

// Launches per submit.
const BATCH = 64;

function runNow(item: Launch): void {
  const device = getDevice();
  device.check();
  const buffers = item.bindings.map(({ storage, offset }) => ({ buffer: storage.use(item.pipeline.label), offset }));
  if (open?.device !== device) {
    const encoder = device.gpu.createCommandEncoder();
    open = { device, encoder, pass: encoder.beginComputePass(), count: 0 };
  }
  open.pass.setPipeline(item.pipeline.gpu);
  open.pass.setBindGroup(0, bindGroup(device, item, buffers));
  open.pass.dispatchWorkgroups(...item.groups);
  device.stats.launches++;
  if (++open.count >= BATCH) flush();
}

/** Submits the waiting launches. Called before work that must follow them. */
export function flush(): void {
  if (!open) return;
  const { device, encoder, pass } = open;
  open = null;
  if (device.lostError) return;
  pass.end();
  device.guard(() => device.gpu.queue.submit([encoder.finish()]));
  device.stats.submits++;
}

/** Frees the pool's unused buffers. */
export function trimPool(): void {
  flush();
  clearPool();
}
