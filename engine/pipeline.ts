/** Compiled kernels, one per WGSL text, and the bind-group layouts that they share. */
import { getDevice, type Device } from "./device.ts";
import { ShaderError, ValidationError } from "./errors.ts";
import { perDevice } from "./per-device.ts";

export class Pipeline {
  readonly label: string;
  readonly code: string;
  readonly signature: string;
  readonly layout: GPUBindGroupLayout;
  readonly #device: Device;
  #gpu: GPUComputePipeline | null = null;
  #pending: Promise<void> | null = null;
  #broken: Error | null = null;

  constructor(device: Device, label: string, code: string, signature: string) {
    this.#device = device;
    this.label = label;
    this.code = code;
    this.signature = signature;
    this.layout = layoutOf(device, signature);
  }

  /** The pipeline; compiles it first if needed. */
  get gpu(): GPUComputePipeline {
    if (this.#broken) throw this.#broken;
    if (!this.#gpu) {
      const { gpu } = this.#device;
      gpu.pushErrorScope("validation");
      const descriptor = this.#descriptor();
      this.#gpu = gpu.createComputePipeline(descriptor);
      this.#device.verify(this.#explain(descriptor.compute.module, gpu.popErrorScope()));
    }
    return this.#gpu;
  }

  /** Compiles without blocking. */
  compile(): Promise<void> {
    if (this.#gpu) return Promise.resolve();
    this.#pending ??= this.#compile();
    return this.#pending;
  }

  async #compile(): Promise<void> {
    const { gpu } = this.#device;
    gpu.pushErrorScope("validation");
    const descriptor = this.#descriptor();
    const refused = gpu.popErrorScope();
    const made = gpu.createComputePipelineAsync(descriptor).then(
      (p) => {
        this.#gpu = p;
        return null;
      },
      (error: unknown) => error as Error,
    );
    await this.#explain(descriptor.compute.module, refused);
    const error = await made;
    if (error) throw (this.#broken = new ValidationError(`${this.label}: ${error.message}`));
  }

  /** Throws the compiler's message if there is one, since it has line and column; else WebGPU's. */
  async #explain(module: GPUShaderModule, refused: Promise<GPUError | null>): Promise<void> {
    const [{ messages }, error] = await Promise.all([module.getCompilationInfo(), refused]);
    const errors = messages.filter((m) => m.type === "error");
    if (errors.length > 0) this.#broken = new ShaderError(this.label, errors, this.code);
    else if (error) this.#broken = new ValidationError(`${this.label}: ${error.message}`);
    if (this.#broken) throw this.#broken;
  }

  #descriptor(): GPUComputePipelineDescriptor {
    this.#device.stats.pipelinesCreated++;
    const { label, code } = this;
    return {
      label,
      // Not shared: wgpu (Firefox, Deno) takes the buffer sizes that a pipeline needs for those of the one before, if both have one layout.
      layout: this.#device.gpu.createPipelineLayout({ bindGroupLayouts: [this.layout] }),
      compute: { module: this.#device.gpu.createShaderModule({ label, code }), entryPoint: "main" },
    };
  }
}

const pipelinesOf = perDevice(() => new Map<string, Pipeline>());
const layoutsOf = perDevice(() => new Map<string, GPUBindGroupLayout>());

/**
 * The pipeline of a WGSL module; the same text gives the same pipeline. `signature`: its bindings in order, `r` for read-only storage, `w`
 * for read-write storage, `u` for a uniform.
 */
export function pipelineOf(label: string, code: string, signature: string): Pipeline {
  const device = getDevice();
  const pipelines = pipelinesOf(device);
  let pipeline = pipelines.get(code);
  if (!pipeline) pipelines.set(code, (pipeline = new Pipeline(device, label, code, signature)));
  return pipeline;
}

function layoutOf(device: Device, signature: string): GPUBindGroupLayout {
  const layouts = layoutsOf(device);
  let layout = layouts.get(signature);
  if (!layout) {
    const most = device.limits.maxStorageBuffersPerShaderStage;
    const storage = [...signature].filter((s) => s !== "u").length;
    if (storage > most) throw new Error(`kernel: expected at most ${most} storage buffers on this adapter, got ${storage}`);
    const types = { r: "read-only-storage", w: "storage", u: "uniform" } as const;
    layout = device.gpu.createBindGroupLayout({
      entries: [...signature].map((s, binding) => ({
        binding,
        visibility: 4 /* COMPUTE */,
        buffer: { type: types[s as keyof typeof types] },
      })),
    });
    layouts.set(signature, layout);
  }
  return layout;
}
