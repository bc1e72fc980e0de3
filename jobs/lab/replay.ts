/**
 * Some of an operation's launches as something that can be timed: all of them run once, so that these then read what they would read.
 * Kernels that are compared share their buffers: where memory lies would else decide between the same two texts.
 */
import { getDevice } from "../../engine/device.ts";
import { bindGroup, type Binding, type Launch } from "../../engine/launch.ts";
import { madeOnce } from "../../engine/made-once.ts";
import { createBuffer, STORAGE, type Storage } from "../../engine/memory.ts";

export type Home = Map<Storage, GPUBuffer>;

export interface Replay {
  /** Runs the chosen launches so many times and waits until that is done. */
  run(times: number): Promise<void>;
  /** What they write, in the order of launches and bindings. */
  read(): Promise<Float32Array[]>;
  /** Adds the chosen launches to a pass of the caller's. */
  dispatch(pass: GPUComputePassEncoder): void;
}

interface Place {
  readonly buffer: GPUBuffer;
  readonly offset: number;
}

/** Where a binding's memory is: its own, or in `own`, made on the first call. */
export function placeOf({ storage, offset }: Pick<Binding, "storage" | "offset">, own: Home): Place {
  if (storage.state === "live") return { buffer: storage.use("replay"), offset };
  const at = storage.place;
  if (at.storage.state === "live") return { buffer: at.storage.use("replay"), offset: offset + at.offset };
  const descriptor = { label: "replay", size: at.storage.bytes, usage: STORAGE };
  return { buffer: madeOnce(own, at.storage, () => createBuffer(getDevice(), descriptor)), offset: offset + at.offset };
}

/** Runs `launches` once, in buffers of `own`, and replays those of the numbers `chosen`. */
export async function replay(launches: readonly Launch[], chosen: readonly number[], own: Home): Promise<Replay> {
  const device = getDevice();
  for (const { pipeline } of launches) await device.wait(pipeline.compile());
  const steps = launches.map((launch) => ({
    launch,
    group: bindGroup(
      device,
      launch,
      launch.bindings.map((b) => placeOf(b, own)),
    ),
  }));
  const dispatch = (some: typeof steps, pass: GPUComputePassEncoder) => {
    for (const { launch, group } of some) {
      pass.setPipeline(launch.pipeline.gpu);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...launch.groups);
    }
  };
  const encode = (some: typeof steps, times: number) => {
    const encoder = device.gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let i = 0; i < times; i++) dispatch(some, pass);
    pass.end();
    device.guard(() => device.gpu.queue.submit([encoder.finish()]));
    return device.wait(device.gpu.queue.onSubmittedWorkDone());
  };
  await encode(steps, 1);
  const timed = chosen.map((i) => steps[i]!);
  return {
    run: (times) => encode(timed, times).then(() => undefined),
    read: () =>
      Promise.all(
        timed.flatMap(({ launch }) =>
          launch.bindings.filter(({ access }) => access !== "read").map((b) => download(placeOf(b, own), b.bytes)),
        ),
      ),
    dispatch: (pass) => dispatch(timed, pass),
  };
}

export async function download({ buffer, offset }: Place, bytes: number): Promise<Float32Array> {
  const device = getDevice();
  const staging = device.gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.gpu.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, offset, staging, 0, bytes);
  device.gpu.queue.submit([encoder.finish()]);
  await device.wait(staging.mapAsync(GPUMapMode.READ));
  const values = new Float32Array(staging.getMappedRange().slice(0));
  staging.destroy();
  return values;
}
