/** Compiled kernels, one per WGSL text, and the bind-group layouts that they share. */
import { getDevice, type Device } from "./device.ts";
import { ShaderError } from "./errors.ts";

/** How a kernel sees its bindings, in order: `r` read-only storage, `w` read-write storage, `u` uniform. */
export type Signature = string;

export class Pipeline {
  readonly label: string;
  readonly code: string;
  readonly layout: GPUBindGroupLayout;
  readonly #device: Device;
  readonly #pipelineLayout: GPUPipelineLayout;
  #gpu: GPUComputePipeline | null = null;
  #pending: Promise<void> | null = null;

  constructor(device: Device, label: string, code: string, signature: Signature) {
    this.#device = device;
    this.label = label;
    this.code = code;
    ({ bindGroup: this.layout, pipeline: this.#pipelineLayout } = layoutOf(device, signature));
  }

  /** The pipeline, compiled now if it was not yet. */
  get gpu(): GPUComputePipeline {
    this.#gpu ??= this.#device.gpu.createComputePipeline(this.#descriptor());
    return this.#gpu;
  }

  /** Compiles without blocking. */
  compile(): Promise<void> {
    if (this.#gpu) return Promise.resolve();
    this.#pending ??= this.#device.gpu.createComputePipelineAsync(this.#descriptor()).then((gpu) => { this.#gpu = gpu; });
    return this.#pending;
  }

  #descriptor(): GPUComputePipelineDescriptor {
    this.#device.stats.pipelinesCreated++;
    const { label, code } = this;
    const module = this.#device.gpu.createShaderModule({ label, code });
    this.#device.verify(module.getCompilationInfo().then(({ messages }) => {
      const errors = messages.filter((m) => m.type === "error");
      if (errors.length > 0) throw new ShaderError(label, errors, code);
    }));
    return { label, layout: this.#pipelineLayout, compute: { module, entryPoint: "main" } };
  }
}

interface Cache {
  readonly pipelines: Map<string, Pipeline>;
  readonly layouts: Map<Signature, { bindGroup: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>;
}

const caches = new WeakMap<Device, Cache>();

function cacheOf(device: Device): Cache {
  let cache = caches.get(device);
  if (!cache) caches.set(device, (cache = { pipelines: new Map(), layouts: new Map() }));
  return cache;
}

/** The pipeline of a WGSL module; the same text gives the same pipeline. */
export function pipelineOf(label: string, code: string, signature: Signature): Pipeline {
  const device = getDevice();
  const { pipelines } = cacheOf(device);
  let pipeline = pipelines.get(code);
  if (!pipeline) pipelines.set(code, (pipeline = new Pipeline(device, label, code, signature)));
  return pipeline;
}

function layoutOf(device: Device, signature: Signature) {
  const { layouts } = cacheOf(device);
  let layout = layouts.get(signature);
  if (!layout) {
    const most = device.limits.maxStorageBuffersPerShaderStage;
    const storage = [...signature].filter((s) => s !== "u").length;
    if (storage > most) throw new Error(`kernel: expected at most ${most} storage buffers on this adapter, got ${storage}`);
    const types = { r: "read-only-storage", w: "storage", u: "uniform" } as const;
    const bindGroup = device.gpu.createBindGroupLayout({
      entries: [...signature].map((s, binding) => ({ binding, visibility: 4 /* COMPUTE */, buffer: { type: types[s as keyof typeof types] } })),
    });
    layout = { bindGroup, pipeline: device.gpu.createPipelineLayout({ bindGroupLayouts: [bindGroup] }) };
    layouts.set(signature, layout);
  }
  return layout;
}
