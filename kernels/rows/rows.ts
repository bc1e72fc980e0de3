/**
 * Row kernels: one body, mapped to a thread, a subgroup or a workgroup per row. By the names that `--variant` and tuned tables know:
 *
 *   register   a thread per row: no barriers, which are what costs on CPU adapters
 *   shared     a workgroup per row, which walks it once per pass; for rows of any length
 *   team<T>    T threads per row, several rows to a workgroup. A row is read once and kept in registers. Sums and maxima go through
 *              subgroup shuffles as far as the adapter's smallest subgroup reaches, then through workgroup memory
 *   barrier<T> the same through workgroup memory alone: what `team<T>` is on an adapter without subgroups
 *
 * A thread's place follows its subgroup's number and its lane there, so no adapter's way of filling subgroups is taken for granted;
 * sums are added in an order of places, so their bits do not depend on the subgroups' size beyond what is compiled in.
 *
 * Layer norm's forward for rows of 8 by `register`, as generated (a test holds it to this):
 *
 *   let row = group * WG + li;
 *   if (row < p.rows) {
 *     let first = row * p.len;
 *     var m = 0.0;
 *     for (var i = 0u; i < p.len; i += 1u) { m += dot(x[first + i], vec4f(1.0)); }
 *     m /= f32(p.len * 4u);
 *     var sq = 0.0;
 *     for (var i = 0u; i < p.len; i += 1u) { let d = x[first + i] - vec4f(m); sq += dot(d * d, vec4f(1.0)); }
 *     let r = 1.0 / sqrt(sq / f32(p.len * 4u) + p.eps);
 *     for (var i = 0u; i < p.len; i += 1u) { y[first + i] = (x[first + i] - vec4f(m)) * r * weight[i] + bias[i]; }
 *     if (true) { stats[row] = vec2f(m, r); }
 *   }
 */
import { getDevice } from "../../engine/device.ts";
import type { Elem } from "../../engine/kernel.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { workgroupMax, workgroupSum } from "../shared/reduce.ts";
import { wideWorkgroup } from "../shared/wide-workgroup.ts";
import { threadsOf, widthOf, type RowVariant, type Threads, type Width } from "./variants.ts";
import { range } from "../shared/unroll.ts";

/** What of a variant is compiled in. */
export type RowShape =
  | { readonly kind: "thread" | "workgroup" }
  /** `threads` per row; `lanes`: neighbours among them that shuffles reach; `loads`: of each thread; `most`: threads of a workgroup. */
  | { readonly kind: "subgroup"; readonly threads: Threads; readonly loads: number; readonly lanes: number; readonly most: number };

export function rowShape(variant: RowVariant, D: number): RowShape {
  const threads = threadsOf(variant);
  if (threads === null) return { kind: variant === "shared" ? "workgroup" : "thread" };
  return {
    kind: "subgroup",
    threads,
    loads: Math.ceil(D / widthOf(variant, D) / threads),
    lanes: variant.startsWith("barrier") ? 1 : Math.min(threads, subgroupLanes()),
    most: wideWorkgroup(),
  };
}

/** What a row kernel is compiled for. */
export interface RowConfig {
  readonly shape: RowShape;
  readonly W: Width;
}

/** How x is cut into rows: `len` vectors each, and the workgroups of a launch over them. */
export interface RowGrid {
  readonly rows: number;
  readonly D: number;
  readonly len: number;
  readonly groups: number;
}

/** x: (.., D). The configuration of its row kernels, and their launch. */
export function rowPlan(x: Tensor, variant: RowVariant): { readonly config: RowConfig; readonly grid: RowGrid } {
  const D = x.shape.at(-1)!,
    rows = x.size / D;
  const config = { shape: rowShape(variant, D), W: widthOf(variant, D) };
  return { config, grid: { rows, D, len: D / config.W, groups: rowWords(config.shape).groups(rows) } };
}

/** Lanes of the smallest subgroup there may be; 1 where kernels cannot use them, or do not know a subgroup's number. */
export function subgroupLanes(): number {
  const { subgroups, language } = getDevice();
  return language.has("subgroup_id") ? (subgroups?.min ?? 1) : 1;
}

/** WGSL types and sums of vectors of W. */
export const vectors = (W: Width): { readonly T: Elem; total(v: string): string; most(v: string): string } =>
  W === 4
    ? { T: "vec4f", total: (v) => `dot(${v}, vec4f(1.0))`, most: (v) => `max(max(${v}.x, ${v}.y), max(${v}.z, ${v}.w))` }
    : W === 2
      ? { T: "vec2f", total: (v) => `dot(${v}, vec2f(1.0))`, most: (v) => `max(${v}.x, ${v}.y)` }
      : { T: "f32", total: (v) => v, most: (v) => v };

/** A vector of a row by name, in WGSL: `at` is its index in arrays of rows, `i` its number in the row; `k` counts a thread's own loads. */
type Loads<N extends string> = Readonly<Record<N, (at: string, i: string) => string>>;
type Loaded<N extends string> = Readonly<Record<N | "at" | "i", string>> & { readonly k: number };

export interface RowWords {
  /** What a kernel spreads into its declaration. */
  readonly threads: { readonly workgroup: number; readonly helpers: string; readonly needs: readonly GPUFeatureName[] };
  /** With several rows to a workgroup: a thread's place in it, and among the threads of its row (`own`). Part of `code`. */
  readonly places: string;
  /** True in one thread of the row's. */
  readonly leads: string;
  /** Runs `body` for `row`, of `p.rows`; `group`: the workgroup, if not counted from the first. */
  code(body: string, group?: string): string;
  /** Statements that replace each of these f32 variables, at most four, by its sum or its maximum over the row. */
  sum(...names: readonly string[]): string;
  max(...names: readonly string[]): string;
  /**
   * A row of vectors of type T that begins at `first`: `load`, then any number of walks over them. A walk's body sees each load by its
   * name, and `at`, `i` and `k`; stores go into `store`. `counts`: which of `at` and `i` a loop counts; the other is computed from it.
   */
  row<N extends string>(
    T: string,
    loads: Loads<N>,
    counts?: "at" | "i",
  ): { readonly load: string; each(body: (v: Loaded<N>) => string): string; store(body: (v: Loaded<N>) => string): string };
  groups(rows: number): number;
}

/** A row walked by `for`, read from memory in each walk. */
function walked(kind: "thread" | "workgroup"): RowWords {
  const shared = kind === "workgroup";
  const all =
    (reduce: string) =>
    (...names: readonly string[]) =>
      shared ? names.map((n) => `${n} = ${reduce}(${n}, li);`).join("\n    ") : "";
  return {
    threads: { workgroup: shared ? 64 : 16, helpers: shared ? workgroupSum + workgroupMax : "", needs: [] },
    places: "",
    leads: shared ? "li == 0u" : "true",
    code: (body, group = "group") => `let row = ${shared ? group : `${group} * WG + li`}; if (row < p.rows) { ${body} }`,
    sum: all("workgroup_sum"),
    max: all("workgroup_max"),
    row(_, loads, counts = "at") {
      const [at, i, base] = counts === "at" ? ["i", "(i - first)", "first + "] : ["first + i", "i", ""];
      const each = (body: (v: never) => string) => {
        const v = Object.fromEntries([
          ...Object.entries<(at: string, i: string) => string>(loads).map(([name, load]) => [name, load(at, i)]),
          ["at", at],
          ["i", i],
          ["k", 0],
        ]);
        return `for (var i = ${base}${shared ? "li" : "0u"}; i < ${base}p.len; i += ${shared ? "WG" : "1u"}) { ${body(v as never)} }`;
      };
      return { load: "", each, store: each };
    },
    groups: (rows) => (shared ? rows : Math.ceil(rows / 16)),
  };
}

const VECTOR = ["f32", "vec2f", "vec3f", "vec4f"] as const;
const PART = ["x", "y", "z", "w"] as const;
/** Partial sums that a thread adds from workgroup memory between two barriers. */
const FAN = 16;

/** WGSL of `name(v, place)`: all v of a row's threads joined, the same bits for each of them. */
function teamReduction(
  name: string,
  type: string,
  join: (a: string, b: string) => string,
  { threads, lanes }: { readonly threads: number; readonly lanes: number },
): string {
  const lines: string[] = [];
  for (let lane = 1; lane < lanes; lane *= 2) lines.push(`v = ${join("v", `subgroupShuffleXor(v, ${lane}u)`)};`);
  for (let one = lanes; one < threads; ) {
    // threads that have the same v
    const fan = Math.min(FAN, threads / one);
    lines.push(
      `if (t % ${one}u == 0u) { ${name}_parts[t / ${one}u] = v; }`,
      "workgroupBarrier();",
      `v = ${name}_parts[t / ${one * fan}u * ${fan}u];`,
      ...range(fan - 1).map((k) => `v = ${join("v", `${name}_parts[t / ${one * fan}u * ${fan}u + ${k + 1}u]`)};`),
      "workgroupBarrier();",
    );
    one *= fan;
  }
  return `${lanes < threads ? `var<workgroup> ${name}_parts: array<${type}, WG / ${lanes}u>;` : ""}
fn ${name}(given: ${type}, place: u32) -> ${type} {
  let t = place % WG; // place, as Tint can prove
  var v = given;
  ${lines.join("\n  ")}
  return v;
}
`;
}

function team(shape: Extract<RowShape, { kind: "subgroup" }>, least: number): RowWords {
  const { threads, loads: count, lanes, most } = shape;
  const workgroup = Math.max(Math.min(least, most), threads);
  const all =
    (reduce: string) =>
    (...names: readonly string[]) => {
      const n = names.length,
        type = VECTOR[n - 1]!;
      return n === 1
        ? `${names[0]} = ${reduce}_f32(${names[0]}, place);`
        : `{ let all = ${reduce}_${type}(${type}(${names.join(", ")}), place); ${names.map((name, i) => `${name} = all.${PART[i]};`).join(" ")} }`;
    };
  const places = `let place = ${lanes > 1 ? "subgroup_number * subgroup_lanes + subgroup_lane" : "li"}; let own = place % ${threads}u;`;
  const helpers = VECTOR.flatMap((type) => [
    teamReduction(`team_sum_${type}`, type, (a, b) => `${a} + ${b}`, shape),
    teamReduction(`team_max_${type}`, type, (a, b) => `max(${a}, ${b})`, shape),
  ]).join("");
  return {
    threads: { workgroup, helpers, needs: lanes > 1 ? ["subgroups" as GPUFeatureName] : [] },
    places,
    leads: `alive && place % ${threads}u == 0u`,
    // Past the last row, threads work on it again and store nothing: all threads of a workgroup meet at the barriers.
    code: (body, group = "group") => `
    ${places}
    let alive = ${group} * ${workgroup / threads}u + place / ${threads}u < p.rows;
    let row = min(${group} * ${workgroup / threads}u + place / ${threads}u, p.rows - 1u);
    ${body}`,
    sum: all("team_sum"),
    max: all("team_max"),
    row(T, loads) {
      const numbers = range(count);
      const i = (k: number) => (k === 0 ? "own" : `(own + ${k * threads}u)`);
      const at = (k: number) => `first + ${i(k)}`;
      const names = Object.entries<(at: string, i: string) => string>(loads);
      const inside = (k: number, text: string) => (k === count - 1 ? `if (${i(k)} < p.len) { ${text} }` : `{ ${text} }`);
      const each = (body: (v: never) => string) =>
        numbers
          .map((k) =>
            inside(
              k,
              body(Object.fromEntries([...names.map(([name]) => [name, `${name}_${k}`]), ["at", at(k)], ["i", i(k)], ["k", k]]) as never),
            ),
          )
          .join("\n    ");
      return {
        load: numbers
          .map((k) =>
            k < count - 1
              ? names.map(([name, load]) => `let ${name}_${k} = ${load(at(k), i(k))};`).join(" ")
              : `${names.map(([name]) => `var ${name}_${k}: ${T};`).join(" ")} ${inside(k, names.map(([name, load]) => `${name}_${k} = ${load(at(k), i(k))};`).join(" "))}`,
          )
          .join("\n    "),
        each,
        store: (body) => `if (alive) { ${each(body)} }`,
      };
    },
    groups: (rows) => Math.ceil(rows / (workgroup / threads)),
  };
}

/** Words for a kernel over rows; with several rows to a workgroup, it has `threads` in all, or as many as one row takes. */
export const rowWords = (shape: RowShape, threads = 256): RowWords =>
  shape.kind === "subgroup" ? team(shape, threads) : walked(shape.kind);
