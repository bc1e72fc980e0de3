/** Declares kernels: bindings are generated from named lists, so that the host and the WGSL cannot drift apart. */
import { getDevice, type Device } from "./device.ts";
import { launch, output, type Binding } from "./launch.ts";
import { narrowed, narrowElems, type Elem } from "./narrow.ts";
import { pipelineOf, type Pipeline } from "./pipeline.ts";
import { numel, show, type Shape } from "./shape.ts";
import { dtypeBytes, Tensor, type DType } from "./tensor.ts";

export type { Elem } from "./narrow.ts";

const dtypesOf: Readonly<Record<Elem, readonly DType[]>> = {
  f32: ["f32", "f16"],
  vec2f: ["f32", "f16"],
  vec4f: ["f32", "f16"],
  f16: ["f16"],
  vec2h: ["f16"],
  vec4h: ["f16"],
  u32: ["u32", "u8"],
  vec4u: ["u32", "u8", "f16"],
  i32: ["i32"], // eight f16 as they lie are a vec4u too
};
const elemBytes: Readonly<Record<Elem, number>> = { f32: 4, vec2f: 8, vec4f: 16, f16: 2, vec2h: 4, vec4h: 8, u32: 4, vec4u: 16, i32: 4 };

/** Dawn's experimental feature: subgroups that multiply small matrices. */
export const SUBGROUP_MATRIX = "chromium-experimental-subgroup-matrix";

type Buffers = Readonly<Record<string, Elem>>;
type Scalars = Readonly<Record<string, "u32" | "f32">>;
type Values<S> = { readonly [K in keyof S]: number };

export interface KernelSpec<I extends Buffers, U extends Buffers, O extends Buffers, C extends Scalars, P extends Scalars> {
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
  /** Threads per workgroup: `WG` in all, `WGX`, `WGY` per dimension in the code. */
  readonly workgroup: number | readonly [number, number];
  /** WGSL functions and shared arrays that the code uses. */
  readonly helpers?: string;
  /** Device features that the code needs. */
  readonly needs?: readonly string[];
  /** Threads in a subgroup, where the adapter leaves that open (needs `subgroup-size-control`). */
  readonly subgroupSize?: number | undefined;
  /**
   * Body of the entry point. It sees `group` (u32: the workgroup's index in a 1-D launch), `wid` (vec3u: in a 2-D or 3-D one),
   * `lid` (vec3u), `li` (u32: the thread's index in the workgroup) and `groups` (vec3u); where it names them, `subgroup_number` (u32: the
   * subgroup's in the workgroup), `subgroup_lane` (u32: the thread's in it) and `subgroup_lanes` (u32).
   */
  readonly code: string | ((constants: Values<C>) => string);
}

type Given<N extends string, R> = keyof R extends never ? { readonly [K in N]?: undefined } : { readonly [K in N]: R };

export type LaunchArgs<I, U, O, C, P> = Given<"inputs", { readonly [K in keyof I]: Tensor }> &
  Given<"updates", { readonly [K in keyof U]: Tensor }> &
  Given<"outputs", { readonly [K in keyof O]: Shape }> &
  Given<"constants", Values<C>> &
  Given<"params", Values<P>> & {
    /** Workgroups: a count of any size (see `group`), or per dimension. */
    readonly groups: number | readonly [number, number, number?];
    /** Outputs declared as f32 that are stored as f16 where this says so; f32 inputs may be f16 without saying. */
    readonly store?: { readonly [K in keyof O]?: DType };
  };

type None = Readonly<Record<never, never>>;

/** Declares a kernel. The function it returns launches it (or records the launch) and returns the outputs by name. */
export function defineKernel<
  const I extends Buffers = None,
  const U extends Buffers = None,
  const O extends Buffers = None,
  const C extends Scalars = None,
  const P extends Scalars = None,
>(spec: KernelSpec<I, U, O, C, P>): (args: LaunchArgs<I, U, O, C, P>) => { readonly [K in keyof O]: Tensor } {
  const inputs = Object.entries((spec.inputs ?? {}) as Buffers);
  const updates = Object.entries((spec.updates ?? {}) as Buffers);
  const outputs = Object.entries((spec.outputs ?? {}) as Buffers);
  const params = Object.entries((spec.params ?? {}) as Scalars);
  const signature = "r".repeat(inputs.length) + "w".repeat(updates.length + outputs.length) + (params.length > 0 ? "u" : "");
  let device: Device | undefined;
  let pipelines = new Map<string, Pipeline>();

  const pipelineFor = (constants: Values<C>, folded: number, narrow: ReadonlySet<string>): Pipeline => {
    const key = `${[...Object.values(constants)].join()}/${folded}/${[...narrow].join()}`;
    let pipeline = pipelines.get(key);
    if (!pipeline) {
      if (narrow.size > 0 && !getDevice().features.has("shader-f16"))
        throw new Error(`${spec.name}: expected an adapter with shader-f16 for f16 tensors, got one without`);
      pipelines.set(key, (pipeline = pipelineOf(spec.name, source(spec as unknown as AnySpec, constants, folded, narrow), signature)));
    }
    return pipeline;
  };

  return (given) => {
    const args = given as LooseArgs;
    if (device !== getDevice()) {
      device = getDevice();
      pipelines = new Map();
      for (const feature of spec.needs ?? []) {
        if (!device.features.has(feature)) throw new Error(`${spec.name}: expected an adapter with ${feature}, got one without`);
      }
    }
    const made = Object.fromEntries(
      outputs.map(([name, elem]) => {
        const shape = args.outputs![name]!;
        const dtype = args.store?.[name] ?? dtypesOf[elem][0]!;
        return [name, new Tensor(shape, dtype, output(numel(shape) * dtypeBytes[dtype], `${spec.name} ${name} ${show(shape)}`))];
      }),
    );
    const bindings: Binding[] = [
      ...inputs.map(([name, elem]) => bind(spec.name, name, elem, args.inputs![name]!, "read")),
      ...updates.map(([name, elem]) => bind(spec.name, name, elem, args.updates![name]!, "update")),
      ...outputs.map(([name, elem]) => bind(spec.name, name, elem, made[name]!, "write")),
    ];
    const { groups, folded } = fold(spec.name, device, args.groups);
    const isNarrow =
      (bound: (name: string) => Tensor) =>
      ([name, elem]: [string, Elem]) =>
        elem in narrowElems && bound(name).dtype === "f16";
    const narrow = new Set(
      [
        ...inputs.filter(isNarrow((name) => args.inputs![name]!)),
        ...updates.filter(isNarrow((name) => args.updates![name]!)),
        ...outputs.filter(isNarrow((name) => made[name]!)),
      ].map(([name]) => name),
    );
    launch({
      pipeline: pipelineFor((args.constants ?? {}) as Values<C>, folded, narrow),
      bindings,
      uniform: params.length > 0 ? uniformOf(device, params, args.params!) : null,
      groups,
    });
    return made as { readonly [K in keyof O]: Tensor };
  };
}

/** Makes one kernel per configuration, on first use: for kernels whose text depends on more than sizes. */
export function kernelFamily<F, K>(make: (config: F) => K): (config: F) => K {
  const made = new Map<string, K>();
  return (config) => {
    const key = JSON.stringify(config);
    let kernel = made.get(key);
    if (!kernel) made.set(key, (kernel = make(config)));
    return kernel;
  };
}

interface LooseArgs {
  readonly inputs?: Readonly<Record<string, Tensor>>;
  readonly updates?: Readonly<Record<string, Tensor>>;
  readonly outputs?: Readonly<Record<string, Shape>>;
  readonly constants?: Readonly<Record<string, number>>;
  readonly params?: Readonly<Record<string, number>>;
  readonly groups: number | readonly [number, number, number?];
  readonly store?: Readonly<Record<string, DType>>;
}

function bind(kernel: string, name: string, elem: Elem, tensor: Tensor, access: Binding["access"]): Binding {
  if (!dtypesOf[elem].includes(tensor.dtype))
    throw new Error(`${kernel}: expected ${dtypesOf[elem].join(" or ")} for ${name}, got ${tensor.dtype} ${show(tensor.shape)}`);
  const bytes = Math.ceil(tensor.bytes / 4) * 4;
  if (bytes % elemBytes[tensor.dtype === "f16" ? (narrowElems[elem] ?? elem) : elem] !== 0)
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
    if (groups <= most) return { groups: [groups, 1, 1], folded: 0 };
    const rows = Math.ceil(groups / most);
    if (rows > most) throw new Error(`${kernel}: expected at most ${most * most} workgroups, got ${groups}`);
    return { groups: [Math.ceil(groups / rows), rows, 1], folded: groups };
  }
  const [x, y, z = 1] = groups;
  for (const n of [x, y, z]) {
    if (!Number.isInteger(n) || n < 1 || n > most)
      throw new Error(`${kernel}: expected 1 to ${most} workgroups per dimension, got [${x},${y},${z}]`);
  }
  return { groups: [x, y, z], folded: 0 };
}

interface AnySpec extends KernelSpec<Buffers, Buffers, Buffers, Scalars, Scalars> {}

const subgroupBuiltins = {
  subgroup_number: "subgroup_id",
  subgroup_lanes: "subgroup_size",
  subgroup_lane: "subgroup_invocation_id",
} as const;

/** The whole WGSL module: declarations made from the spec, then its code. */
function source(spec: AnySpec, constants: Readonly<Record<string, number>>, folded: number, narrow: ReadonlySet<string>): string {
  let binding = 0;
  const wide = new Map(Object.entries({ ...spec.inputs, ...spec.updates, ...spec.outputs }).filter(([name]) => narrow.has(name)));
  const storage =
    (access: string) =>
    ([name, elem]: [string, Elem]) =>
      `@group(0) @binding(${binding++}) var<storage, ${access}> ${name}: array<${narrow.has(name) ? narrowElems[elem] : elem}>;`;
  const buffers = [
    ...Object.entries(spec.inputs ?? {}).map(storage("read")),
    ...Object.entries(spec.updates ?? {}).map(storage("read_write")),
    ...Object.entries(spec.outputs ?? {}).map(storage("read_write")),
  ];
  const fields = Object.entries(spec.params ?? {})
    .map(([name, type]) => `${name}: ${type}`)
    .join(", ");
  const matrices = spec.needs?.includes(SUBGROUP_MATRIX) ?? false;
  const enables = [
    // Tint knows uniformity of workgroups, not of subgroups.
    ...(matrices ? ["diagnostic(off, chromium.subgroup_matrix_uniformity);", "enable chromium_experimental_subgroup_matrix;"] : []),
    ...(spec.subgroupSize ? ["enable subgroup_size_control;"] : []),
    ...(/\bf16\b|vec[234]h\b/.test([buffers.join(), spec.helpers].join()) ? ["enable f16;"] : []),
    ...(spec.needs?.includes("subgroups") ? ["enable subgroups;"] : []),
  ];
  const [x, y] = typeof spec.workgroup === "number" ? [spec.workgroup, 1] : spec.workgroup;
  const code = typeof spec.code === "string" ? spec.code : spec.code(constants);
  const builtins = Object.entries(subgroupBuiltins)
    .map(([name, builtin]) => (code.includes(name) ? `, @builtin(${builtin}) ${name}: u32` : ""))
    .join("");
  return [
    ...enables,
    ...buffers,
    ...(fields ? [`struct Params { ${fields} }`, `@group(0) @binding(${binding}) var<uniform> p: Params;`] : []),
    ...Object.entries(spec.constants ?? {}).map(
      ([name, type]) => `const ${name}: ${type} = ${literal(spec.name, name, type, constants[name])};`,
    ),
    `const WG = ${x * y}u; const WGX = ${x}u; const WGY = ${y}u;`,
    narrowed(spec.helpers ?? "", wide),
    `@compute @workgroup_size(${x}, ${y})${spec.subgroupSize ? ` @subgroup_size(${spec.subgroupSize})` : ""}`,
    `fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_id) lid: vec3u, @builtin(local_invocation_index) li: u32, @builtin(num_workgroups) groups: vec3u${builtins}) {`,
    "  let group = wid.x + wid.y * groups.x;",
    folded > 0 ? `  if (group >= ${folded}u) { return; }` : "",
    narrowed(code, wide),
    "}",
  ]
    .filter(Boolean)
    .join("\n");
}

function literal(kernel: string, name: string, type: "u32" | "f32", value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value) || (type === "u32" && (!Number.isInteger(value) || value < 0))) {
    throw new Error(`${kernel}: expected a ${type} for constant ${name}, got ${value}`);
  }
  if (type === "u32") return `${value}u`;
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? text : `${text}.0`;
}

const uniforms = new WeakMap<Device, Map<string, GPUBuffer>>();

/** A buffer with these params. Buffers are kept by content and never change, so replays need none of their own. */
function uniformOf(device: Device, types: readonly [string, "u32" | "f32"][], values: Readonly<Record<string, number>>): GPUBuffer {
  let cache = uniforms.get(device);
  if (!cache) uniforms.set(device, (cache = new Map()));
  const words = new Uint32Array(Math.ceil(types.length / 4) * 4);
  const floats = new Float32Array(words.buffer);
  types.forEach(([name, type], i) => {
    if (type === "u32") words[i] = values[name]!;
    else floats[i] = values[name]!;
  });
  const key = words.join();
  let buffer = cache.get(key);
  if (!buffer) {
    device.stats.buffersCreated++;
    buffer = device.gpu.createBuffer({ label: "params", size: words.byteLength, usage: GPUBufferUsage.UNIFORM, mappedAtCreation: true });
    new Uint32Array(buffer.getMappedRange()).set(words);
    buffer.unmap();
    cache.set(key, buffer);
  }
  return buffer;
}
