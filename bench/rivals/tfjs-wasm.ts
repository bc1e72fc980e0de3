/** TensorFlow.js on WebAssembly: the processor, not the adapter. */
import * as tf from "@tensorflow/tfjs-core";
import { getThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import type { Contender, RivalOptions } from "../contender.ts";
import { contender } from "./tfjs.ts";

export default async function start({ base }: RivalOptions): Promise<Contender> {
  if (typeof document === "undefined") throw new Error("tfjs-wasm: expected a page, got Node, where its loader wants a file server");
  setWasmPaths(`${base}@tensorflow/tfjs-backend-wasm/dist/`);
  // Its kernels are synchronous: what they return is done.
  const made = await contender("tfjs-wasm", "wasm", () => Promise.resolve(), {});
  const simd = await tf.env().getAsync("WASM_HAS_SIMD_SUPPORT");
  return { ...made, flags: { ...made.flags, on: "processor", simd, threads: getThreadsCount() } };
}
