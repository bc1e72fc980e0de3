/** What a recorded step keeps of its launches, and which buffers its tensors share. */
import type { Device } from "./device.ts";
import type { Launch } from "./launch.ts";
import { madeOnce } from "./made-once.ts";
import { account, createBuffer, STORAGE, type Storage } from "./memory.ts";

export interface PlanMemory {
  readonly buffers: readonly GPUBuffer[];
  readonly bytes: number;
  /** The buffer of each storage that was recorded. */
  readonly homes: ReadonlyMap<Storage, GPUBuffer>;
}

/** Keeps a launch if it changes memory that outlives the step, or if a kept launch (or the result) reads what it writes. */
export function dropDead(launches: readonly Launch[], results: ReadonlySet<Storage>): Launch[] {
  const needed = new Set(results);
  const kept: Launch[] = [];
  const matters = (storage: Storage) => storage.state === "live" || storage.placed || needed.has(storage);
  for (const l of [...launches].reverse()) {
    if (!l.bindings.some(({ storage, access }) => access !== "read" && matters(storage))) continue;
    kept.push(l);
    for (const { storage } of l.bindings) needed.add(storage);
  }
  return kept.reverse();
}

/** A recorded storage, and the first and the last launch that touches it. */
interface Life {
  readonly storage: Storage;
  readonly first: number;
  last: number;
}

/**
 * Gives every storage of the recording a buffer; storages that are never alive together share one. Largest first, each into
 * the smallest buffer that is free for its whole life. Whole buffers, not ranges of one: WebGPU tracks hazards per buffer.
 */
export function assignMemory(device: Device, label: string, launches: readonly Launch[], results: ReadonlySet<Storage>): PlanMemory {
  const lives = new Map<Storage, Life>();
  launches.forEach((l, i) => {
    for (const { storage } of l.bindings) {
      if (storage.state !== "recorded" || storage.placed) continue;
      madeOnce(lives, storage, () => ({ storage, first: i, last: i })).last = results.has(storage) ? Infinity : i;
    }
  });
  const shared: Life[][] = []; // by buffer, in falling order of the first, which is the largest
  for (const life of [...lives.values()].sort((a, b) => b.storage.bytes - a.storage.bytes)) {
    const free = shared.findLast((others) => others.every(({ first, last }) => last < life.first || first > life.last));
    if (free) free.push(life);
    else shared.push([life]);
  }
  const homes = new Map<Storage, GPUBuffer>();
  const buffers = shared.map((own) => {
    const buffer = createBuffer(device, { label, size: own[0]!.storage.bytes, usage: STORAGE });
    for (const { storage } of own) homes.set(storage, buffer);
    return buffer;
  });
  const bytes = buffers.reduce((sum, { size }) => sum + size, 0);
  account(device, bytes, 0);
  return { buffers, bytes, homes };
}
