/**
 * Record a step once, plan it, replay it.
 *
 * While `record` runs its function, kernels are not launched but listed, and tensors have shapes but no memory. The list is
 * then planned: launches whose results are not needed are dropped, passes that launches ask for rewrite the list (sums are joined), tensors
 * whose lives do not overlap share buffers, pipelines compile side by side. `run()` replays the list in one submit, or in several where it
 * takes long (`pace.ts`), and creates nothing.
 */
import { getDevice } from "./device.ts";
import { DeviceLostError, StalePlanError } from "./errors.ts";
import { bindGroup, flush, withRecorder, type Binding, type Launch } from "./launch.ts";
import { account, collect, destroyBuffer, storagesIn, type Storage } from "./memory.ts";
import { Pace } from "./pace.ts";
import { assignMemory, dropDead, type PlanMemory } from "./plan-memory.ts";

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
  /** The launches themselves, in order; `train/profile.ts` times them one by one. */
  readonly steps: readonly Step[];
  /** Replays the step. Throws `StalePlanError` if a tensor it uses has been freed. */
  run(): void;
  /** Encodes the step into an app's encoder, which the app submits; it sees what commands encoded before computed. Throws as `run()` does. */
  encode(encoder: GPUCommandEncoder): void;
  /** Waits until all runs so far are done. */
  idle(): Promise<void>;
  /** Gives the plan's memory back. */
  dispose(): void;
}

/** Records `body`, a synchronous function that reads no values back, and returns its plan, ready to run. */
export async function record<T>(body: () => T, options: RecordOptions = {}): Promise<Plan<T>> {
  const label = options.label ?? "plan";
  let draft = drafted(body, label);
  if (await draft.device.listed?.()) {
    release(draft);
    draft = drafted(body, label);
  }
  try {
    await compile(draft, options.onCompile);
    const plan = allocated(draft);
    await draft.device.wait(Promise.resolve());
    return plan;
  } catch (error) {
    release(draft); // after out of memory, a smaller attempt needs this memory
    throw error;
  }
}

/** `record` within a `rehearse`: synchronous, and nothing is compiled. Its memory is given back when the rehearsal ends. */
export const rehearsePlan = <T>(body: () => T, label = "plan"): Plan<T> => allocated(drafted(body, label));

type Draft<T> = ReturnType<typeof drafted<T>>;

/** A recording; its memory is still to be assigned. */
function drafted<T>(body: () => T, label: string) {
  const device = getDevice();
  const all: Launch[] = [];
  const { result, storages: constants } = collect(() => withRecorder({ launches: all }, body));
  if (result instanceof Promise) throw new Error("record: expected a synchronous function, got one that returns a promise");
  const results = storagesIn(result);
  const alive = dropDead(all, results);
  const passes = new Set(alive.flatMap(({ pass }) => pass ?? []));
  const launches = [...passes].reduce((launches, pass) => pass(launches), alive);
  return { label, device, result, results, constants, launches, memory: null as PlanMemory | null };
}

/** Gives back whatever memory a draft has. */
function release({ device, results, constants, memory }: Draft<unknown>): void {
  flush(); // waiting launches may read the results
  if (memory) {
    for (const storage of results) if (memory.homes.has(storage)) storage.free();
    for (const buffer of memory.buffers) destroyBuffer(device, buffer);
    account(device, -memory.bytes, 0);
  }
  for (const storage of constants) storage.free();
}

/** Gives a draft its memory, and makes it a plan. */
function allocated<T>(draft: Draft<T>): Plan<T> {
  const { label, device, result, results, launches } = draft;
  const { homes, bytes } = (draft.memory = assignMemory(device, label, launches, results));
  for (const [storage, home] of homes) storage.settle(results.has(storage) ? home : null);
  const externals = new Map<Storage, GPUBuffer>();
  const home = (b: Binding): { buffer: GPUBuffer; offset: number } => {
    const { storage, offset } = b.storage.place;
    const buffer = homes.get(storage) ?? storage.use(label);
    if (!homes.has(storage)) externals.set(storage, buffer);
    return { buffer, offset: offset + b.offset };
  };
  const steps = launches.map((l): Step => {
    const [x, y, z] = l.groups;
    return { pipeline: l.pipeline.gpu, group: bindGroup(device, l, l.bindings.map(home)), x, y, z };
  });
  const pace = new Pace(steps);
  const submit = (part: readonly Step[]) => {
    device.guard(() => {
      const encoder = device.gpu.createCommandEncoder();
      encode(part, encoder);
      device.gpu.queue.submit([encoder.finish()]);
    });
    device.stats.submits++;
  };
  let disposed = false;
  const begin = () => {
    if (disposed) throw new StalePlanError(`${label}: expected a plan in use, got one that was disposed of`);
    if (device.lostError) throw device.lostError;
    if (device !== getDevice()) throw new DeviceLostError(`${label}: expected the plan's own device, got another one: record it anew`);
    device.check();
    for (const [storage, buffer] of externals) {
      if (storage.buffer !== buffer)
        throw new StalePlanError(`${label}: expected the tensors it was recorded with, got one freed since: record it anew`);
    }
    flush();
    device.stats.launches += steps.length;
  };

  return {
    result,
    bytes,
    launches: steps.length,
    steps,
    kernels: launches.map((l) => l.pipeline.label),
    run() {
      begin();
      pace.run(device.gpu.queue, submit);
    },
    encode(encoder) {
      begin();
      encode(steps, encoder);
    },
    idle: () => device.wait(Promise.all([device.gpu.queue.onSubmittedWorkDone(), pace.timed])).then(() => undefined),
    dispose() {
      if (disposed) return;
      disposed = true;
      release(draft);
    },
  };
}

/** Compiles the launches' pipelines side by side. */
async function compile({ device, launches }: Draft<unknown>, onCompile: RecordOptions["onCompile"]): Promise<void> {
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
