/** ONNX Runtime Web on WebAssembly, in a page: the processor, not the adapter. */
import type { Contender, RivalOptions } from "../contender.ts";
import { ortContender, type Ort } from "./ort.ts";

interface OrtWeb extends Ort {
  readonly env: Ort["env"] & { wasm: { wasmPaths: string; numThreads: number }; logLevel: string };
}

export default async function start({ base }: RivalOptions): Promise<Contender> {
  if (typeof document === "undefined") throw new Error("ort-wasm: expected a page, got Node, where ort-cpu is its like");
  const dist = `${base}onnxruntime-web/dist/`;
  const ort = (await import(/* @vite-ignore */ `${dist}ort.wasm.min.mjs`)) as OrtWeb;
  const threads = crossOriginIsolated ? Math.max(1, navigator.hardwareConcurrency) : 1;
  ort.env.wasm.wasmPaths = dist;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  return ortContender(ort, {
    name: "ort-wasm",
    version: ort.env.versions.web ?? ort.env.versions.common,
    session: { executionProviders: ["wasm"] },
    flags: { provider: "wasm", on: "processor", threads },
  });
}
