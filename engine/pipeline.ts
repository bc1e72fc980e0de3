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
      const { made, fine } = this.#checked((descriptor) => this.#device.gpu.createComputePipeline(descriptor));
      this.#gpu = made;
      this.#device.verify(fine);
    }
    return this.#gpu;
  }

  /** Compiles without blocking. */
  compile(): Promise<void> {
    return this.#gpu ? Promise.resolve() : (this.#pending ??= this.#compile());
  }

  async #compile(): Promise<void> {
    const { made, fine } = this.#checked((descriptor) => this.#device.gpu.createComputePipelineAsync(descriptor));
    const refused = made.then((pipeline) => void (this.#gpu = pipeline)).catch((error: unknown) => error as Error);
    await fine;
    const error = await refused;
    if (error) throw (this.#broken = new ValidationError(`${this.label}: ${error.message}`));
  }

  /** What `create` returns; `fine` throws what is wrong with the module or the pipeline. */
  #checked<T>(create: (descriptor: GPUComputePipelineDescriptor) => T): { readonly made: T; readonly fine: Promise<void> } {
    const { gpu, stats } = this.#device;
    const { label, code } = this;
    stats.pipelinesCreated++;
    gpu.pushErrorScope("validation");
    const module = gpu.createShaderModule({ label, code });
    // Not shared: wgpu (Firefox, Deno) takes the buffer sizes that a pipeline needs for those of the one before, if both have one layout.
    const layout = gpu.createPipelineLayout({ bindGroupLayouts: [this.layout] });
    const made = create({ label, layout, compute: { module, entryPoint: "main" } });
    return { made, fine: this.#explain(module, gpu.popErrorScope()) };
  }

  /** Throws the compiler's message if there is one, since it has line and column; else WebGPU's. */
  async #explain(module: GPUShaderModule, refused: Promise<GPUError | null>): Promise<void> {
    const [{ messages }, error] = await Promise.all([module.getCompilationInfo(), refused]);
    const errors = messages.filter((m) => m.type === "error");
    if (errors.length > 0) this.#broken = new ShaderError(this.label, errors, this.code);
    else if (error) this.#broken = new ValidationError(`${this.label}: ${error.message}`);
    if (this.#broken) throw this.#broken;
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

function layoutOf({ gpu, limits }: Device, signature: string): GPUBindGroupLayout {
  const most = limits.maxStorageBuffersPerShaderStage;
  const storage = signature.replace("u", "").length;
  if (storage > most) throw new Error(`kernel: expected at most ${most} storage buffers on this adapter, got ${storage}`);
  const types: Readonly<Record<string, GPUBufferBindingType>> = { r: "read-only-storage", w: "storage", u: "uniform" };
  const visibility = 4; // COMPUTE
  return gpu.createBindGroupLayout({
    entries: [...signature].map((letter, binding) => ({ binding, visibility, buffer: { type: types[letter]! } })),
  });
}
