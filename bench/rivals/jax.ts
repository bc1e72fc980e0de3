/**
 * jax-js on WebGPU: its own traced and fused kernels, under `jit`. Arrays are reference counted: every use takes one (`.ref`).
 * DeiT itself is not written for it here; its operations are.
 */
import { blockUntilReady, defaultDevice, getWebGPUDevice, init, jit, lax, nn, numpy as np, vjp, type Array as JaxArray } from "@jax-js/jax";
import lock from "./package-lock.json" with { type: "json" };
import type { Benchmark, Inputs, KernelWork } from "../benchmark.ts";
import { sameAdapter, type Contender, type Prepared, type RivalOptions } from "../contender.ts";

export default async function start({ wait, adapter }: RivalOptions): Promise<Contender> {
  if (typeof document === "undefined") throw new Error("jax: expected a page, got Node, where it has no WebGPU");
  const devices = await init();
  if (!devices.includes("webgpu")) throw new Error(`jax: expected its webgpu device, got ${devices.join(", ")}`);
  defaultDevice("webgpu");
  const device = getWebGPUDevice();
  sameAdapter("jax", adapter, device.adapterInfo);
  const idle = () => wait(device.queue.onSubmittedWorkDone()).then(() => undefined);
  return {
    name: "jax",
    version: lock.packages["node_modules/@jax-js/jax"].version,
    flags: { device: "webgpu", jit: true },
    prepare: (c, inputs) => prepare(c, inputs, idle),
  };
}

/** What the operation does with its inputs; takes each once. */
function operation(work: KernelWork): (...x: JaxArray[]) => JaxArray {
  switch (work.op) {
    case "matmul":
      return (a, b) => np.matmul(a!, b!);
    case "linear":
      return (x, weight, bias) => np.add(np.matmul(x!, np.transpose(weight!)), bias!);
    case "softmax":
      return (x) => nn.softmax(x!, -1);
    case "gelu":
      return (x) => nn.gelu(x!, { approximate: false });
    case "layerNorm":
      return (x, weight, bias) => np.add(np.multiply(nn.standardize(x!, -1, { epsilon: 1e-6 }), weight!), bias!);
    case "attention":
      return (q, k, v) => np.matmul(nn.softmax(np.matmul(np.multiply(q!, work.n["D"]! ** -0.5), np.matrixTranspose(k!)), -1), v!);
    case "conv2d": {
      const { stride, padding: p, groups } = work.attrs as { stride: number; padding: number; groups: number };
      return (x, weight) =>
        lax.convGeneralDilated(
          x!,
          weight!,
          [stride, stride],
          [
            [p, p],
            [p, p],
          ],
          { featureGroupCount: groups },
        );
    }
    case "patchEmbed": {
      const { B, D, H, W, p } = work.n as Record<"B" | "D" | "H" | "W" | "p", number>;
      return (x, weight, bias) =>
        np.add(np.transpose(np.reshape(lax.conv(x!, weight!, [p, p], "VALID"), [B, D, (H / p) * (W / p)]), [0, 2, 1]), bias!);
    }
    default:
      throw new Error(`not written here: ${work.op}`);
  }
}

async function prepare({ work, backward }: Benchmark, inputs: Inputs, idle: () => Promise<void>): Promise<Prepared> {
  if (!("sizes" in work)) throw new Error(`not written here: ${work.op}`);
  const f = operation(work);
  const given = [...inputs.values()].map(({ shape, data }) => np.array(data as Float32Array<ArrayBuffer>, { shape: [...shape] }));
  await blockUntilReady(given.map((a) => a.ref));
  const wanted = given.length - (backward ? 1 : 0);
  const compiled = jit((...x: JaxArray[]): JaxArray[] => {
    if (!backward) return [f(...x)];
    const dy = x[wanted]!;
    const [y, pull] = vjp(f, x.slice(0, wanted));
    const grads = pull(dy) as unknown as JaxArray[];
    pull.dispose();
    return [y, ...grads];
  });
  let latest: JaxArray[] = [];
  const release = () => {
    for (const a of latest) a.dispose();
    latest = [];
  };
  return {
    async run(times) {
      for (let i = 0; i < times; i++) {
        release();
        latest = compiled(...given.map((a) => a.ref));
        // It is lazy: nothing has started before this, and what is released before never would.
        await blockUntilReady(latest);
      }
      await idle();
    },
    result: () => Promise.all(latest.map(async (a) => Float32Array.from(await a.ref.data()))),
    dispose() {
      release();
      for (const a of given) a.dispose();
      compiled.dispose();
    },
  };
}
