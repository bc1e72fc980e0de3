/** Assembles a kernel's WGSL module: bindings from its named buffers, structs and constants from its scalars, then its code. */
import { narrowed, narrowElems, type Elem } from "./narrow.ts";
import type { Binding } from "./launch.ts";
import type { Tensor } from "./tensor.ts";

/** Dawn's experimental feature: subgroups that multiply small matrices. */
export const SUBGROUP_MATRIX = "chromium-experimental-subgroup-matrix";

export type NumberTypes = Readonly<Record<string, "u32" | "f32">>;

/** A buffer of a kernel, as it is declared. */
export interface Slot {
  readonly name: string;
  readonly elem: Elem;
  readonly optional: boolean;
  readonly access: Binding["access"];
}

/** A buffer and the launch's tensor for it. */
export interface Bound extends Slot {
  readonly tensor: Tensor;
}

/** Whether a buffer that the code sees as f32 is stored as f16. */
export const isNarrow = ({ elem, tensor }: Bound): boolean => elem in narrowElems && tensor.dtype === "f16";

const subgroupBuiltins = {
  subgroup_number: "subgroup_id",
  subgroup_lanes: "subgroup_size",
  subgroup_lane: "subgroup_invocation_id",
} as const;

interface Module {
  readonly name: string;
  readonly constants?: NumberTypes;
  readonly params?: NumberTypes;
  readonly workgroup: readonly [number, number];
  readonly helpers?: string;
  readonly needs?: readonly string[];
  readonly subgroupSize?: number | undefined;
  readonly code: string;
}

/** The whole WGSL module. */
export function source(spec: Module, bound: readonly Bound[], constants: Readonly<Record<string, number>>, folded: number): string {
  const { name, code, helpers = "", needs = [], subgroupSize } = spec;
  const [x, y] = spec.workgroup;
  const buffers = bound.map((b, i) => {
    const elem = isNarrow(b) ? narrowElems[b.elem] : b.elem;
    return `@group(0) @binding(${i}) var<storage, ${b.access === "read" ? "read" : "read_write"}> ${b.name}: array<${elem}>;`;
  });
  const wide = new Map(bound.filter(isNarrow).map((b) => [b.name, b.elem]));
  const fields = Object.entries(spec.params ?? {}).map(([field, type]) => `${field}: ${type}`);
  const builtins = Object.entries(subgroupBuiltins).filter(([word]) => code.includes(word));
  return [
    // Tint proves uniformity over workgroups, not over subgroups.
    needs.includes(SUBGROUP_MATRIX) ? "diagnostic(off, chromium.subgroup_matrix_uniformity);" : "",
    needs.includes(SUBGROUP_MATRIX) ? "enable chromium_experimental_subgroup_matrix;" : "",
    subgroupSize ? "enable subgroup_size_control;" : "",
    /\bf16\b|vec[234]h\b/.test(buffers.join() + helpers) ? "enable f16;" : "",
    needs.includes("subgroups") ? "enable subgroups;" : "",
    ...buffers,
    ...(fields.length > 0
      ? [`struct Params { ${fields.join(", ")} }`, `@group(0) @binding(${buffers.length}) var<uniform> p: Params;`]
      : []),
    ...Object.entries(spec.constants ?? {}).map(([key, type]) => `const ${key}: ${type} = ${literal(name, key, type, constants[key])};`),
    `const WG = ${x * y}u; const WGX = ${x}u; const WGY = ${y}u;`,
    narrowed(helpers, wide),
    `@compute @workgroup_size(${x}, ${y})${subgroupSize ? ` @subgroup_size(${subgroupSize})` : ""}`,
    `fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_id) lid: vec3u, @builtin(local_invocation_index) li: u32, @builtin(num_workgroups) groups: vec3u${builtins.map(([word, builtin]) => `, @builtin(${builtin}) ${word}: u32`).join("")}) {`,
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
