/** ONNX Runtime Web on WebGPU, in a page. Inputs and results stay on the GPU, as it advises. */
import type { Tensor } from "onnxruntime-common";
import { sameAdapter, type Contender, type RivalOptions } from "../contender.ts";
import { ortContender, type Ort } from "./ort.ts";

interface OrtWeb extends Ort {
  readonly env: Ort["env"] & { wasm: { wasmPaths: string; numThreads: number }; webgpu: { device: Promise<GPUDevice> }; logLevel: string };
}

export default async function start({ wait, adapter, base }: RivalOptions): Promise<Contender> {
  if (typeof document === "undefined") throw new Error("ort-webgpu: expected a page, got Node, where onnxruntime-node is its like");
  const dist = `${base}onnxruntime-web/dist/`;
  const ort = (await import(/* @vite-ignore */ `${dist}ort.webgpu.min.mjs`)) as OrtWeb;
  ort.env.wasm.wasmPaths = dist;
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  // Its device comes with its first session.
  const device = async (): Promise<GPUDevice> => {
    const gpu = await ort.env.webgpu.device;
    sameAdapter("ort", adapter, gpu.adapterInfo);
    return gpu;
  };
  return ortContender(ort, {
    name: "ort",
    version: ort.env.versions.web ?? ort.env.versions.common,
    session: { executionProviders: ["webgpu"], preferredOutputLocation: "gpu-buffer" },
    flags: { provider: "webgpu", build: "ort.webgpu", inputs: "gpu-buffer", outputs: "gpu-buffer" },
    async place({ shape, data }): Promise<Tensor> {
      const gpu = await device();
      const buffer = gpu.createBuffer({
        size: Math.ceil(data.byteLength / 16) * 16,
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
      });
      gpu.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
      return ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: [...shape], dispose: () => buffer.destroy() });
    },
    idle: async () => wait((await device()).queue.onSubmittedWorkDone()).then(() => undefined),
  });
}
