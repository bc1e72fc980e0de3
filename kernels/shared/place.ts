/** Writes a tensor's values into existing memory, such as a gradient into the optimizer's flat buffer. No gradient flows through it. */
import { defineKernel } from "../../engine/kernel.ts";
import { recorded, type Binding, type Launch } from "../../engine/launch.ts";
import type { Storage } from "../../engine/memory.ts";
import { show } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";

const copy = {
  inputs: { x: "f32" },
  params: { n: "u32" },
  workgroup: 64,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) { y[i] = x[i]; }`,
} as const;
const copyKernel = defineKernel({ ...copy, name: "place.copy", outputs: { y: "f32" } });
const copyIntoKernel = defineKernel({ ...copy, name: "place.copyInto", updates: { y: "f32" } });

/**
 * Makes `target` (existing memory) hold `tensor`. While recording this costs no launch if the tensor's own kernel can write
 * there directly; otherwise it is a copy.
 */
export function place(tensor: Tensor, target: Tensor): void {
  if (tensor.size !== target.size) throw new Error(`place: expected ${show(target.shape)}, got ${show(tensor.shape)}`);
  const { storage } = tensor;
  const launches = recorded();
  if (
    launches &&
    storage.state === "recorded" &&
    !storage.placed &&
    tensor.offset === 0 &&
    storage.bytes === target.bytes &&
    fits(launches, storage, target)
  ) {
    storage.placed = { storage: target.storage, offset: target.offset };
    return;
  }
  const grid = { params: { n: tensor.size }, threads: tensor.size };
  // One launch cannot read and write a buffer: values from elsewhere in the target's own buffer go through another.
  const near = storage.place.storage === target.storage;
  const x = near ? copyKernel({ ...grid, inputs: { x: tensor }, outputs: { y: tensor.shape } }).y : tensor;
  copyIntoKernel({ ...grid, inputs: { x }, updates: { y: target } });
}

/** Whether every launch that touches `storage` may touch it at `target`: one buffer is not read and written in the same launch. */
function fits(launches: readonly Launch[], storage: Storage, target: Tensor): boolean {
  const there = (b: Binding) => b.storage.place.storage === target.storage;
  return launches.every(({ bindings }) => {
    const own = bindings.filter((b) => b.storage === storage);
    const others = bindings.filter(there);
    if (own.length === 0 || others.length === 0) return true;
    return [...own, ...others].every((b) => b.access !== "read");
  });
}
