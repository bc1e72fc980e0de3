/**
 * Record a step once, plan it, replay it.
 *
 * While `record` runs its function, kernels are not launched but listed, and tensors have shapes but no memory. The list is
 * then planned: launches whose results are not needed are dropped, tensors whose lives do not overlap share buffers, pipelines
 * compile side by side. `run()` replays the list in one submit and creates nothing.
 */
import { getDevice, type Device } from "./device.ts";
import { DeviceLostError, StalePlanError } from "./errors.ts";
import { bindGroup, flush, withRecorder, type Binding, type Launch } from "./launch.ts";
import { account, collect, createBuffer, storagesIn, type Storage } from "./memory.ts";

export interface RecordOptions {
  /** Shown in errors and traces. */
  readonly label?: string;
  /** Called after each compiled pipeline. */
  readonly onCompile?: (done: number, total: number) => void;
}

/** A launch of a plan, ready to run. */
interface Step {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

export interface Plan<T> {
  /** The recorded function's result; its tensors hold the values of the latest run. */
  readonly result: T;
  /** Launches per run, without those whose results are unused. */
  readonly launches: number;
  /** Bytes of the buffers that the plan allocated. */
  readonly bytes: number;
  /** Names of the kernels in order, for inspection. */
  readonly kernels: readonly string[];
  /** The launches themselves, in order; `bench/profile.ts` times them one by one. */
  readonly steps: readonly Step[];
  /** Replays the step: one submit. Throws `StalePlanError` if a tensor it uses has been freed. */
  run(): void;
  /** Encodes the step into an app's encoder, which the app submits, after the commands encoded there before. Throws as `run()` does. */
  encode(encoder: GPUCommandEncoder): void;
  /** Waits until all runs so far are done. */
  idle(): Promise<void>;
  /** Gives the plan's memory back. */
  dispose(): void;
}

/** Records `body`, a synchronous function that reads no values back, and returns its plan, ready to run. */
export async function record<T>(body: () => T, options: RecordOptions = {}): Promise<Plan<T>> {
  const { label = "plan", onCompile } = options;
  const device = getDevice();
  const all: Launch[] = [];
  const { result, storages: constants } = collect(() => withRecorder({ launches: all }, body));
  if (result instanceof Promise) throw new Error("record: expected a synchronous function, got one that returns a promise");
  const results = storagesIn(result);
  const launches = dropDead(all, results);
  let memory: Memory | null = null;
  const release = () => {
    flush(); // waiting launches may read the results
    if (memory) {
      for (const storage of results) if (memory.homes.has(storage)) storage.free();
      for (const buffer of memory.buffers) buffer.destroy();
      account(device, -memory.bytes, 0);
    }
    for (const storage of constants) storage.free();
  };

  const externals = new Map<Storage, GPUBuffer>();
  let steps: Step[];
  try {
    await compile(device, launches, onCompile);
    memory = assignMemory(device, label, launches, results);
    const { homes } = memory;
    for (const [storage, home] of homes) storage.settle(results.has(storage) ? home : null);
    const home = (b: Binding): { buffer: GPUBuffer; offset: number } => {
      const storage = b.storage.placed?.storage ?? b.storage;
      const planned = homes.get(storage);
      if (planned) return { buffer: planned, offset: b.offset };
      externals.set(storage, storage.use(label));
      return { buffer: externals.get(storage)!, offset: b.offset + (b.storage.placed?.offset ?? 0) };
    };
    steps = launches.map((l) => {
      const [x, y, z] = l.groups;
      return { pipeline: l.pipeline.gpu, group: bindGroup(device, l, l.bindings.map(home)), x, y, z };
    });
    await device.wait(Promise.resolve());
  } catch (error) {
    release(); // after out of memory, a smaller attempt needs this memory
    throw error;
  }
  let disposed = false;
  const checkUsable = () => {
    if (disposed) throw new StalePlanError(`${label}: expected a plan in use, got one that was disposed of`);
    if (device.lostError) throw device.lostError;
    if (device !== getDevice()) throw new DeviceLostError(`${label}: expected the plan's own device, got another one: record it anew`);
    device.check();
    for (const [storage, buffer] of externals) {
      if (storage.buffer !== buffer)
        throw new StalePlanError(`${label}: expected the tensors it was recorded with, got one freed since: record it anew`);
    }
    flush();
  };

  return {
    result,
    bytes: memory.bytes,
    launches: steps.length,
    steps,
    kernels: launches.map((l) => l.pipeline.label),
    run() {
      checkUsable();
      device.guard(() => {
        const encoder = device.gpu.createCommandEncoder();
        encode(steps, encoder);
        device.gpu.queue.submit([encoder.finish()]);
      });
      device.stats.launches += steps.length;
      device.stats.submits++;
    },
    encode(encoder) {
      checkUsable();
      encode(steps, encoder);
      device.stats.launches += steps.length;
    },
    idle: () => device.wait(device.gpu.queue.onSubmittedWorkDone()).then(() => undefined),
    dispose() {
      if (disposed) return;
      disposed = true;
      release();
    },
  };
}

/** Compiles the launches' pipelines side by side. */
async function compile(device: Device, launches: readonly Launch[], onCompile: RecordOptions["onCompile"]): Promise<void> {
  const pipelines = new Set(launches.map((l) => l.pipeline));
  let done = 0;
  const compiled = [...pipelines].map(async (pipeline) => {
    await pipeline.compile();
    onCompile?.(++done, pipelines.size);
  });
  await device.wait(Promise.all(compiled));
}

function encode(steps: readonly Step[], encoder: GPUCommandEncoder): void {
  const pass = encoder.beginComputePass();
  let pipeline: GPUComputePipeline | null = null;
  for (const step of steps) {
    if (step.pipeline !== pipeline) pass.setPipeline((pipeline = step.pipeline));
    pass.setBindGroup(0, step.group);
    pass.dispatchWorkgroups(step.x, step.y, step.z);
  }
  pass.end();
}

/** Keeps a launch if it changes memory that outlives the step, or if a kept launch (or the result) reads what it writes. */
function dropDead(launches: readonly Launch[], results: ReadonlySet<Storage>): Launch[] {
  const needed = new Set(results);
  const kept: Launch[] = [];
  for (const l of [...launches].reverse()) {
    const alive = l.bindings.some(
      ({ storage, access }) => access !== "read" && (storage.state === "live" || storage.placed || needed.has(storage)),
    );
    if (!alive) continue;
    kept.push(l);
    for (const { storage } of l.bindings) needed.add(storage);
  }
  return kept.reverse();
}

interface Memory {
  readonly buffers: readonly GPUBuffer[];
  readonly bytes: number;
  /** The buffer of each storage of the recording. */
  readonly homes: ReadonlyMap<Storage, GPUBuffer>;
}

/**
 * Gives every storage of the recording a buffer; storages that are never alive together share one. Largest first, each into
 * the smallest buffer that is free for its whole life. Whole buffers, not ranges of one: WebGPU tracks hazards per buffer.
 */
function assignMemory(device: Device, label: string, launches: readonly Launch[], results: ReadonlySet<Storage>): Memory {
  const lives = new Map<Storage, { first: number; last: number }>();
  launches.forEach((l, i) => {
    for (const { storage } of l.bindings) {
      if (storage.state !== "recorded" || storage.placed) continue;
      const life = lives.get(storage);
      if (life) life.last = i;
      else lives.set(storage, { first: i, last: i });
    }
  });
  for (const storage of results) {
    const life = lives.get(storage);
    if (life) life.last = Infinity;
  }
  const slots: { bytes: number; lives: { first: number; last: number }[]; storages: Storage[] }[] = [];
  for (const [storage, life] of [...lives].sort((a, b) => b[0].bytes - a[0].bytes)) {
    const free = slots.filter((s) => s.lives.every((other) => other.last < life.first || other.first > life.last));
    let slot = free.at(-1); // slots are sorted by falling size, so the last free one is the smallest
    if (!slot) slots.push((slot = { bytes: storage.bytes, lives: [], storages: [] }));
    slot.lives.push(life);
    slot.storages.push(storage);
  }
  const homes = new Map<Storage, GPUBuffer>();
  const buffers = slots.map((slot) => {
    const buffer = createBuffer(device, slot.bytes, label);
    for (const storage of slot.storages) homes.set(storage, buffer);
    return buffer;
  });
  const bytes = slots.reduce((sum, s) => sum + s.bytes, 0);
  account(device, bytes, 0);
  return { buffers, bytes, homes };
}
