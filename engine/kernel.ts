/** Declares kernels: bindings are generated from named lists, so that launch code and WGSL agree on their order. */
import { getDevice, type Device } from "./device.ts";
import { TooLargeError } from "./errors.ts";
import { launch, output, type Binding } from "./launch.ts";
import { filledBuffer } from "./memory.ts";
import { narrowElems, type Elem } from "./narrow.ts";
import { madeOnce, perDevice } from "./made-once.ts";
import { pipelineOf, type Pipeline } from "./pipeline.ts";
import { numel, show, type Shape } from "./shape.ts";
import { dtypeBytes, Tensor, type DType } from "./tensor.ts";
import { watched } from "./watch.ts";
import { isNarrow, source, type Bound, type NumberTypes, type Slot } from "./wgsl.ts";

export type { Elem } from "./narrow.ts";

/** Bytes of an element, and the tensors that may hold it; an output is made as the first. */
const ELEMS: Readonly<Record<Elem, { readonly bytes: number; readonly dtypes: readonly DType[] }>> = {
  f32: { bytes: 4, dtypes: ["f32", "f16"] },
  vec2f: { bytes: 8, dtypes: ["f32", "f16"] },
  vec4f: { bytes: 16, dtypes: ["f32", "f16"] },
  f16: { bytes: 2, dtypes: ["f16"] },
  vec2h: { bytes: 4, dtypes: ["f16"] },
  vec4h: { bytes: 8, dtypes: ["f16"] },
  u32: { bytes: 4, dtypes: ["u32", "u8"] },
  vec4u: { bytes: 16, dtypes: ["u32", "u8", "f16"] }, // eight f16 to a vec4u
  i32: { bytes: 4, dtypes: ["i32"] },
};

/** Element type of a buffer. "?": a launch may omit the buffer; the shader then does not declare it, and `has` tells `code`. */
type BufferType = Elem | `${Elem}?`;
type Buffers = Readonly<Record<string, BufferType>>;
type Numbers<S> = { readonly [K in keyof S]: number };
type OrNull<B, T> = B extends `${string}?` ? T | null : T;
type OrNothing<B, T> = B extends `${string}?` ? T | null | undefined : T;
type Give<B, T> = { readonly [K in keyof B as B[K] extends `${string}?` ? never : K]: OrNothing<B[K], T> } & {
  readonly [K in keyof B as B[K] extends `${string}?` ? K : never]?: T | null | undefined;
};
/** For each of a kernel's buffers, whether the launch has it. */
type Has<B> = { readonly [K in keyof B]: boolean };

/** An output to make: a shape (stored in the buffer's first type), or shape and type together: `y: x` makes y like the tensor x. */
type Made = Shape | { readonly shape: Shape; readonly dtype: DType };

type Workgroup = number | readonly [number, number] | { readonly upTo: number };

export interface KernelSpec<I extends Buffers, U extends Buffers, O extends Buffers, C extends NumberTypes, P extends NumberTypes> {
  /** Shown in errors and traces: `op.pass`. */
  readonly name: string;
  /** Read-only buffers; the code uses them by these names. */
  readonly inputs?: I;
  /** Buffers that the kernel reads and changes in place. */
  readonly updates?: U;
  /** Buffers that the kernel writes whole. */
  readonly outputs?: O;
  /** Sizes compiled in, one pipeline per set of values; the code reads them as `NAME`. */
  readonly constants?: C;
  /** Scalars that may differ between launches without a new pipeline; the code reads them as `p.name`. */
  readonly params?: P;
  /**
   * Threads per workgroup: `WG` in all, `WGX`, `WGY` per dimension in the code. `upTo`: fewer where the device allows no more, for code
   * that goes by `WG` alone, launched by `threads` or a count of groups that does not depend on it.
   */
  readonly workgroup: Workgroup;
  /** WGSL functions and shared arrays that the code uses. */
  readonly helpers?: string;
  /** Device features that the code needs. */
  readonly needs?: readonly string[];
  /** Threads per subgroup, on adapters with several sizes (needs `subgroup-size-control`). */
  readonly subgroupSize?: number | undefined;
  /**
   * Body of the entry point. It sees `group` (u32: the workgroup's index in a 1-D launch), `wid` (vec3u: in a 2-D or 3-D one),
   * `lid` (vec3u), `li` (u32: the thread's index in the workgroup) and `groups` (vec3u); where it names them, `subgroup_number` (u32: the
   * subgroup's in the workgroup), `subgroup_lane` (u32: the thread's in it) and `subgroup_lanes` (u32).
   */
  readonly code: string | ((constants: Numbers<C>, has: Has<I & U & O>) => string);
}

type Given<N extends string, R> = keyof R extends never ? { readonly [K in N]?: undefined } : { readonly [K in N]: R };

export type LaunchArgs<I, U, O, C, P> = Given<"inputs", Give<I, Tensor>> &
  Given<"updates", Give<U, Tensor>> &
  Given<"outputs", Give<O, Made>> &
  Given<"constants", Numbers<C>> &
  Given<"params", Numbers<P>> &
  Grid & {
    /** Outputs that share one storage. */
    readonly together?: readonly (keyof O)[];
  };

/** `threads`: threads needed, rounded up to whole workgroups. `groups`: workgroups, a count of any size (see `group`) or per dimension. */
type Grid =
  | { readonly threads: number; readonly groups?: undefined }
  | { readonly groups: number | readonly [number, number, number?]; readonly threads?: undefined };

type None = Readonly<Record<never, never>>;

/** The launch arguments of some kernel. */
type AnyArgs = Partial<LaunchArgs<Buffers, Buffers, Buffers, NumberTypes, NumberTypes>>;

/** Declares a kernel. The function it returns launches it (or records the launch) and returns the outputs by name. */
/* @__NO_SIDE_EFFECTS__ */
export function defineKernel<
  const I extends Buffers = None,
  const U extends Buffers = None,
  const O extends Buffers = None,
  const C extends NumberTypes = None,
  const P extends NumberTypes = None,
>(spec: KernelSpec<I, U, O, C, P>): (args: LaunchArgs<I, U, O, C, P>) => { readonly [K in keyof O]: OrNull<O[K], Tensor> } {
  const declared = [...slots(spec.inputs, "read"), ...slots(spec.updates, "update"), ...slots(spec.outputs, "write")];
  const params = Object.entries((spec.params ?? {}) as NumberTypes);
  const on = perDevice((device) => {
    const missing = spec.needs?.find((feature) => !device.features.has(feature));
    if (missing) throw new Error(`${spec.name}: expected an adapter with ${missing}, got one without`);
    return { workgroup: workgroupOn(device, spec), pipelines: new Map<string, Pipeline>() };
  });

  const compiled = (device: Device, constants: Readonly<Record<string, number>>, folded: number, bound: readonly Bound[]): Pipeline => {
    if (bound.some(isNarrow) && !device.features.has("shader-f16"))
      throw new Error(`${spec.name}: expected an adapter with shader-f16 for f16 tensors, got one without`);
    const signature = bound.map((b) => (b.access === "read" ? "r" : "w")).join("") + (params.length > 0 ? "u" : "");
    const has = Object.fromEntries(declared.map(({ name }) => [name, bound.some((b) => b.name === name)]));
    const code = typeof spec.code === "string" ? spec.code : spec.code(constants as Numbers<C>, has as Has<I & U & O>);
    return pipelineOf(spec.name, source({ ...spec, code, workgroup: on(device).workgroup }, bound, constants, folded), signature);
  };

  return (given) => {
    const args = given as AnyArgs;
    const device = getDevice();
    const { workgroup, pipelines } = on(device);
    const { constants = {}, together = [] } = args;
    const shared = declared.filter(({ name }) => together.includes(name));
    const made: Record<string, Tensor | null> = {};
    makeOutputs(made, spec.name, shared, args.outputs);
    const bound = declared.flatMap((slot): Bound[] => {
      const { name, access } = slot;
      if (access === "write" && !together.includes(name)) makeOutputs(made, spec.name, [slot], args.outputs);
      const tensor = access === "write" ? made[name] : args[access === "read" ? "inputs" : "updates"]?.[name];
      if (!tensor && !slot.optional) throw new Error(`${spec.name}: expected a tensor for ${name}, got none`);
      return tensor ? [{ ...slot, tensor }] : [];
    });
    const { groups, folded } = fold(spec.name, device, args.groups ?? Math.ceil(args.threads! / numel(workgroup)));
    const key = `${Object.values(constants).join()}/${folded}/${bound.map((b) => b.name + b.tensor.dtype).join()}`;
    const item = {
      pipeline: madeOnce(pipelines, key, () => compiled(device, constants, folded, bound)),
      bindings: bound.map((b) => bindingOf(spec.name, b)),
      uniform: params.length > 0 ? uniformOf(device, params, args.params!) : null,
      groups,
    };
    watched({ kernel: spec.name, tensors: bound }, () => launch(item));
    return made as { readonly [K in keyof O]: OrNull<O[K], Tensor> };
  };
}

/** The workgroup's sides on this device. Throws where it allows no workgroup of that size. */
function workgroupOn({ limits }: Device, { name, workgroup }: { readonly name: string; readonly workgroup: Workgroup }): [number, number] {
  const most = limits.maxComputeInvocationsPerWorkgroup;
  if (typeof workgroup === "object" && "upTo" in workgroup) return [Math.min(workgroup.upTo, most), 1];
  const [x, y] = typeof workgroup === "number" ? [workgroup, 1] : workgroup;
  if (x * y > most) throw new Error(`${name}: expected a device that allows workgroups of ${x * y} threads, got one of at most ${most}`);
  return [x, y];
}

const slots = (buffers: Buffers = {}, access: Binding["access"]): Slot[] =>
  Object.entries(buffers).map(([name, type]) => ({ name, access, elem: type.replace("?", "") as Elem, optional: type.endsWith("?") }));

/** Makes outputs one after another in a storage, each from a multiple of 256 bytes on; null for those that a launch does not ask for. */
function makeOutputs(made: Record<string, Tensor | null>, kernel: string, slots: readonly Slot[], outputs: AnyArgs["outputs"]): void {
  let end = 0;
  const places = slots.flatMap(({ name, elem }) => {
    const asked = outputs?.[name];
    made[name] = null;
    if (!asked) return [];
    const { shape, dtype } = "shape" in asked ? asked : { shape: asked, dtype: ELEMS[elem].dtypes[0]! };
    const at = 256 * Math.ceil(end / 256);
    end = at + numel(shape) * dtypeBytes[dtype];
    return [{ name, shape, dtype, at }];
  });
  if (places.length === 0) return;
  const storage = output(end, `${kernel} ${places.map(({ name, shape }) => `${name} ${show(shape)}`).join(", ")}`);
  for (const { name, shape, dtype, at } of places) made[name] = new Tensor(shape, dtype, storage, at);
}

/** Makes one kernel per configuration, on first use: for kernels whose WGSL depends on more than constants. */
/* @__NO_SIDE_EFFECTS__ */
export function kernelFamily<F, K>(make: (config: F) => K): (config: F) => K {
  const made = new Map<string, K>();
  return (config) => madeOnce(made, JSON.stringify(config), () => make(config));
}

function bindingOf(kernel: string, { name, elem, tensor, access }: Bound): Binding {
  const { dtypes } = ELEMS[elem];
  if (!dtypes.includes(tensor.dtype))
    throw new Error(`${kernel}: expected ${dtypes.join(" or ")} for ${name}, got ${tensor.dtype} ${show(tensor.shape)}`);
  const bytes = Math.ceil(tensor.bytes / 4) * 4;
  if (bytes % ELEMS[tensor.dtype === "f16" ? (narrowElems[elem] ?? elem) : elem].bytes !== 0)
    throw new Error(`${kernel}: expected ${name} to be whole ${elem}s, got ${show(tensor.shape)}`);
  return { storage: tensor.storage, offset: tensor.offset, bytes, access };
}

/** A 1-D count past the limit of one dimension becomes a 2-D grid, and the surplus workgroups return at once. */
function fold(
  kernel: string,
  device: Device,
  groups: number | readonly [number, number, number?],
): { groups: [number, number, number]; folded: number } {
  const most = device.limits.maxComputeWorkgroupsPerDimension;
  if (typeof groups === "number") {
    if (!Number.isInteger(groups) || groups < 1) throw new Error(`${kernel}: expected a positive count of workgroups, got ${groups}`);
    const rows = Math.ceil(groups / most);
    if (rows > most) throw new TooLargeError(`${kernel}: expected at most ${most * most} workgroups, got ${groups}`);
    return { groups: [Math.ceil(groups / rows), rows, 1], folded: rows > 1 ? groups : 0 };
  }
  const [x, y, z = 1] = groups;
  if ([x, y, z].some((n) => !Number.isInteger(n) || n < 1 || n > most))
    throw new TooLargeError(`${kernel}: expected 1 to ${most} workgroups per dimension, got [${x},${y},${z}]`);
  return { groups: [x, y, z], folded: 0 };
}

const uniformsOf = perDevice(() => new Map<string, GPUBuffer>());
/** Most uniform buffers that are kept for later launches; plans hold on to their own. */
const UNIFORMS = 2048;

/** A uniform buffer with these params. Buffers are cached by content and never change; the one unused for longest is dropped. */
function uniformOf(device: Device, types: readonly [string, "u32" | "f32"][], values: Readonly<Record<string, number>>): GPUBuffer {
  const cache = uniformsOf(device);
  const words = new Uint32Array(Math.ceil(types.length / 4) * 4);
  const floats = new Float32Array(words.buffer);
  for (const [i, [name, type]] of types.entries()) (type === "u32" ? words : floats)[i] = values[name]!;
  const key = words.join();
  const buffer = cache.get(key) ?? filledBuffer(device, "params", words, GPUBufferUsage.UNIFORM);
  cache.delete(key);
  cache.set(key, buffer); // the newest from now on
  const [oldest] = cache.size > UNIFORMS ? cache : [];
  if (oldest) {
    cache.delete(oldest[0]);
    device.stats.bytesAllocated -= oldest[1].size;
  }
  return buffer;
}
