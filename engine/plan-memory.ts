/** What a recorded step keeps of its launches, and which buffers its tensors share. */
import type { Device } from "./device.ts";
import type { Launch } from "./launch.ts";
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

/**
 * Gives every storage of the recording a buffer; storages that are never alive together share one. Largest first, each into
 * the smallest buffer that is free for its whole life. Whole buffers, not ranges of one: WebGPU tracks hazards per buffer.
 */
export function assignMemory(device: Device, label: string, launches: readonly Launch[], results: ReadonlySet<Storage>): PlanMemory {
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
    const buffer = createBuffer(device, { label, size: slot.bytes, usage: STORAGE });
    for (const storage of slot.storages) homes.set(storage, buffer);
    return buffer;
  });
  const bytes = slots.reduce((sum, s) => sum + s.bytes, 0);
  account(device, bytes, 0);
  return { buffers, bytes, homes };
}
