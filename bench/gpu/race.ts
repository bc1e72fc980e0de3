/** Kernels compiled side by side, run once, or raced against each other; one that fails says why and stops nothing. */
import { getDevice } from "../../engine/device.ts";
import { trimPool } from "../../engine/launch.ts";
import { record, type Plan } from "../../engine/plan.ts";
import { readAll, type Tensor } from "../../engine/tensor.ts";
import { median } from "../stats.ts";

/** Compiles side by side what is needed next. What fails says so when it is used. */
export async function compile(bodies: readonly (() => Tensor)[]): Promise<void> {
  const from = performance.now();
  await Promise.allSettled(bodies.map(async (body) => (await record(body, { label: "matrix" })).dispose()));
  try {
    getDevice().check();
  } catch {
    /* its own turn tells */
  }
  trimPool();
  console.log(`${bodies.length} kernels compiled in ${Math.round(performance.now() - from)} ms`);
}

export async function once(body: () => Tensor): Promise<Float32Array | Uint16Array> {
  const plan = await record(body, { label: "matrix" });
  try {
    plan.run();
    return (await readAll([plan.result]))[0] as Float32Array | Uint16Array;
  } finally {
    plan.dispose();
    trimPool();
  }
}

/** A GPU that has waited runs slower at first. */
const WARM_MS = 400;

/**
 * Median ms of a run of each, of three samples in turn of at least 20 ms, on a GPU that is kept busy: nothing but launches from the first
 * one on. Those that do not compile are left out; their turn tells why.
 */
export async function race(
  bodies: ReadonlyMap<string, () => Tensor>,
): Promise<Map<string, { readonly ms: number; readonly error: null } | { readonly ms: null; readonly error: string }>> {
  const found = new Map<string, { ms: number; error: null } | { ms: null; error: string }>();
  const contenders: { name: string; plan: Plan<Tensor>; samples: number[]; times: number }[] = [];
  try {
    for (const [name, body] of bodies) {
      try {
        contenders.push({ name, plan: await record(body, { label: "matrix" }), samples: [], times: 1 });
      } catch (error) {
        if (getDevice().lostError) throw error;
        found.set(name, { ms: null, error: reasonOf(error) });
      }
    }
    const sample = async (r: (typeof contenders)[number], times: number): Promise<number> => {
      const from = performance.now();
      for (let i = 0; i < times; i++) r.plan.run();
      await r.plan.idle();
      return (performance.now() - from) / times;
    };
    const from = performance.now();
    while (contenders.length > 0 && performance.now() - from < (getDevice().adapter.software ? 0 : WARM_MS))
      for (const r of contenders) await sample(r, 1);
    for (const r of contenders) r.times = Math.max(1, Math.min(500, Math.ceil(20 / Math.min(await sample(r, 1), await sample(r, 2)))));
    for (let turn = 0; turn < 3; turn++)
      for (const r of turn % 2 === 0 ? contenders : contenders.toReversed()) r.samples.push(await sample(r, r.times));
    for (const r of contenders) found.set(r.name, { ms: median(r.samples), error: null });
    return found;
  } finally {
    for (const { plan } of contenders) plan.dispose();
    trimPool();
  }
}

export const reasonOf = (error: unknown): string => (error as Error).message.split("\n").slice(0, 2).join(" | ").slice(0, 300);
