/**
 * Runs an operation's launches in memory that shows stray reads and writes. Every buffer is new and larger than its tensor: before
 * and behind it lie canaries, and bindings reach over those behind, so that WebGPU's own bounds hide nothing. What launches are to
 * write is NaN before (all bits set), and so is what lies around inputs: what is left out, or read from outside, shows in the values.
 * Each buffer's canaries are its own: what was read past one buffer's end and written past another's is told from what lay there.
 */
import { getDevice } from "../engine/device.ts";
import { bindGroup, flush, withRecorder, type Binding, type Launch } from "../engine/launch.ts";
import { collect, type Storage } from "../engine/memory.ts";
import type { Tensor } from "../engine/tensor.ts";

const BEFORE = 256; // what offsets of bindings are multiples of
const BEHIND = 4096;
const UNWRITTEN = 0xff; // each byte
/** Patterns there are; as many buffers have canaries of their own. */
const PATTERNS = 63;

/**
 * A buffer's canaries, two bytes each: NaN in f32 and in f16, whose bits a sum or a product keeps. Where a kernel changes the buffer in place
 * they are large numbers instead: its own NaN, read and written again, would be the same NaN.
 */
const canary = (buffer: number, changed: boolean): number => (changed ? 0x7100 : 0xffc0) + (buffer % PATTERNS);

/** A launch wrote past an end of its tensor, or changed an input. */
export class AstrayError extends Error {
  override readonly name = "AstrayError";
}

interface Guarded {
  readonly storage: Storage;
  readonly buffer: GPUBuffer;
  readonly canary: number;
  /** The kernels that bind it to write, and by which names: "y of layerNorm.forward". */
  readonly writers: Set<string>;
}

/** The bits of the tensors that `body` returns. Throws where a launch wrote past an end of its tensor, or changed an input. */
export async function guarded(body: () => readonly Tensor[]): Promise<Uint8Array[]> {
  const device = getDevice();
  const { gpu } = device;
  const launches: Launch[] = [];
  const { result, storages } = collect(() => withRecorder({ launches }, body));
  const all = new Map<Storage, Guarded>();
  const changed = new Set(
    launches.flatMap(({ bindings }) => bindings.filter(({ access }) => access === "update").map((b) => placed(b).storage)),
  );
  const sizeOf = (storage: Storage) => BEFORE + storage.bytes + BEHIND;
  flush();
  for (const launch of launches) await launch.pipeline.compile();
  const encoder = gpu.createCommandEncoder();
  const guard = (storage: Storage): Guarded => {
    const known = all.get(storage);
    if (known) return known;
    const buffer = gpu.createBuffer({
      label: "guarded",
      size: sizeOf(storage),
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    const own = canary(all.size, changed.has(storage));
    const filled = new Uint8Array(sizeOf(storage));
    new Uint16Array(filled.buffer).fill(own);
    gpu.queue.writeBuffer(buffer, 0, filled.fill(UNWRITTEN, BEFORE, BEFORE + storage.bytes));
    if (storage.state === "live") encoder.copyBufferToBuffer(storage.use("guarded"), 0, buffer, BEFORE, storage.bytes);
    const made = { storage, buffer, canary: own, writers: new Set<string>() };
    all.set(storage, made);
    return made;
  };

  for (const launch of launches) {
    const { pipeline, groups } = launch;
    const bindings = launch.bindings.map(placed);
    // A launch that binds several parts of a buffer has tensors of its own behind the first.
    const alone = (storage: Storage) => bindings.filter((b) => b.storage === storage).length === 1;
    const homes = bindings.map(({ storage, offset, access }, i) => {
      const home = guard(storage);
      if (access !== "read") home.writers.add(`${nameOf(pipeline.code, i)} of ${pipeline.label}`);
      return { buffer: home.buffer, offset: BEFORE + offset };
    });
    const wide = bindings.map((b) => (alone(b.storage) ? { ...b, bytes: b.storage.bytes - b.offset + BEHIND } : b));
    const group = bindGroup(device, { ...launch, bindings: wide }, homes);
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline.gpu);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...groups);
    pass.end();
  }
  for (const { storage } of result) guard(storage.place.storage); // an input, or a result that no launch writes
  const inputs = [...all.values()].filter(({ storage }) => storage.state === "live");
  const bytes = await read(
    encoder,
    [...all.values()]
      .map(({ storage, buffer }) => ({ buffer, size: sizeOf(storage) }))
      .concat(inputs.map(({ storage }) => ({ buffer: storage.use("guarded"), size: storage.bytes }))),
  );
  const found = new Map([...all.keys()].map((storage, i) => [storage, bytes[i]!]));
  try {
    for (const { storage, writers, canary: own } of all.values()) {
      const whole = found.get(storage)!;
      const end = BEFORE + storage.bytes;
      const dead = (byte: number, i: number) => byte !== (i % 2 === 0 ? own & 0xff : own >> 8);
      const ahead = whole.subarray(0, BEFORE).findIndex(dead);
      const behind = ahead < 0 ? whole.subarray(end).findIndex(dead) : -1;
      const astray = behind < 0 ? ahead : end + behind;
      if (astray >= 0) {
        const where =
          astray < BEFORE
            ? `${BEFORE - astray} bytes before its tensor`
            : `at byte ${astray - BEFORE} of a tensor of ${storage.bytes} (element ${(astray - BEFORE) >> 2} of ${storage.bytes >> 2})`;
        throw new AstrayError(
          `${[...writers].join(" or ") || "no kernel"}: expected writes inside of its tensors only, got one ${where} (launches: ${launches.map((l) => l.pipeline.label).join(", ")})`,
        );
      }
    }
    inputs.forEach(({ storage, writers }, i) => {
      if (writers.size > 0) return; // changed in place, as it says
      const before = bytes[all.size + i]!,
        after = found.get(storage)!;
      const words = new Uint32Array(before.buffer, before.byteOffset, before.length / 4);
      const now = new Uint32Array(after.buffer, after.byteOffset + BEFORE, words.length);
      if (words.some((word, at) => word !== now[at]))
        throw new AstrayError(
          `expected inputs as they were, got one changed (launches: ${launches.map((l) => l.pipeline.label).join(", ")})`,
        );
    });
    return result.map(({ storage, offset, bytes: size }) => {
      const { place } = storage;
      const at = BEFORE + offset + place.offset;
      return found.get(place.storage)!.slice(at, at + size);
    });
  } finally {
    for (const { buffer } of all.values()) buffer.destroy();
    for (const storage of storages) storage.free();
  }
}

/** A module's name for the binding of this number. */
const nameOf = (code: string, binding: number): string =>
  new RegExp(`@binding\\(${binding}\\) var<[^>]*> (\\w+)`).exec(code)?.[1] ?? `binding ${binding}`;

/** Where `place` has put it. */
const placed = (b: Binding): Binding => ({ ...b, storage: b.storage.place.storage, offset: b.offset + b.storage.place.offset });

/** Submits what is encoded; contents of buffers after it. */
async function read(
  encoder: GPUCommandEncoder,
  buffers: readonly { readonly buffer: GPUBuffer; readonly size: number }[],
): Promise<Uint8Array[]> {
  const device = getDevice();
  const { gpu } = device;
  const staging = gpu.createBuffer({
    label: "guarded read",
    size: buffers.reduce((n, b) => n + b.size, 0),
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  let at = 0;
  for (const { buffer, size } of buffers) {
    encoder.copyBufferToBuffer(buffer, 0, staging, at, size);
    at += size;
  }
  gpu.queue.submit([encoder.finish()]);
  await device.wait(staging.mapAsync(GPUMapMode.READ));
  const all = new Uint8Array(staging.getMappedRange());
  at = 0;
  const parts = buffers.map(({ size }) => all.slice(at, (at += size)));
  staging.destroy();
  return parts;
}
