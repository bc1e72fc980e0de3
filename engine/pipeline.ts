/** Compiled kernels, one per WGSL text, and the bind-group layouts that they share. */
import { getDevice, type Device } from "./device.ts";
import { ShaderError, ValidationError } from "./errors.ts";
import { madeOnce, perDevice } from "./made-once.ts";

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
    this.layout = madeOnce(layoutsOf(device), signature, () => layoutOf(device, signature));
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
  return madeOnce(pipelinesOf(device), code, () => new Pipeline(device, label, code, signature));
}

const BINDINGS: Readonly<Record<string, GPUBufferBindingType>> = { r: "read-only-storage", w: "storage", u: "uniform" };

function layoutOf({ gpu, limits }: Device, signature: string): GPUBindGroupLayout {
  const most = limits.maxStorageBuffersPerShaderStage;
  const storage = signature.replace("u", "").length;
  if (storage > most) throw new Error(`kernel: expected at most ${most} storage buffers on this adapter, got ${storage}`);
  const visibility = 4; // COMPUTE
  return gpu.createBindGroupLayout({
    entries: [...signature].map((letter, binding) => ({ binding, visibility, buffer: { type: BINDINGS[letter]! } })),
  });
}
