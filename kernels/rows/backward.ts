/**
 * The backward of an operation on rows with parameters that all rows share, as a norm's weight and bias: dx of each row, and for each
 * parameter a sum over the rows, column by column.
 *
 * With a thread or a workgroup per row, the first workgroups of the launch go down the columns and the others make dx. With part of a
 * subgroup per row, a workgroup takes a stripe of rows, reads each once for dx and keeps the parameters' sums in registers until the
 * stripe's end. Sums are added in a fixed order; those of several stripes by `addParts`.
 */
import { defineKernel, type Elem } from "../../engine/kernel.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { addParts } from "../shared/add-parts.ts";
import { rowWords, vectors, type RowConfig, type RowGrid, type RowWords } from "./rows.ts";
import { unroll } from "../shared/unroll.ts";

/** Threads that share a column. */
const LANES = { workgroup: 16, thread: 1 } as const;
/** Rows of a column that are added up before they are added to the rest, so that neither side is ever much smaller. */
const SHORT = 64;
/** On a GPU a longer column would be all the kernel's time: it is cut into stripes. */
const STRIPE = 2048;
/** Where subgroups share the rows: workgroups where there are many rows, and the smallest count of rows for each. */
const WORKGROUPS = 1024;
const MIN_ROWS = 16;
/** Threads of such a workgroup. Each keeps a row and the sums in registers, so that few fit. */
const STRIPE_THREADS = 128;

export interface RowBackward {
  readonly name: string;
  /** Read beside `dy` and `x`. */
  readonly inputs: Readonly<Record<string, Elem>>;
  /** Names what `sums` uses, from `dy[at]`, `x[at]` and `stats[row]`, for a column's element. */
  readonly element: string;
  /** The parameters' gradients in order: each row's term, of `d` (the element's dy) and the names of `element`. */
  readonly sums: Readonly<Record<string, string>>;
  /**
   * Makes dx of `row`. `row` has the row's dy as `d` and x as `v`; its stores give `d` and the names of `element` to `sums(k)`,
   * and add `partial(at)` to dx.
   */
  dx(row: {
    readonly words: RowWords;
    readonly row: ReturnType<typeof dyAndX>;
    partial(at: string): string;
    sums(k: number): string;
  }): string;
}

const dyAndX = (words: RowWords, T: Elem) => words.row(T, { d: (at) => `dy[${at}]`, v: (at) => `x[${at}]` }, "i");

/** The kernel of one configuration, as a launch: `partial` is the gradient already accumulated for x, or null. Returns dx and the sums. */
export function rowBackward(
  { shape, W }: RowConfig,
  op: RowBackward,
): (
  grid: RowGrid,
  tensors: { readonly dy: Tensor; readonly x: Tensor } & Readonly<Record<string, Tensor>>,
  partial: Tensor | null,
) => Tensor[] {
  const { T } = vectors(W);
  const names = Object.keys(op.sums);
  const words = shape.kind === "subgroup" ? rowWords(shape, STRIPE_THREADS) : rowWords(shape);
  const { workgroup } = words.threads;
  const each = (line: (name: string) => string, join = " ") => names.map(line).join(join);
  const outputs: Readonly<Record<string, Elem>> = { dx: T, ...Object.fromEntries(names.map((name) => [name, T])) };
  const kernel = defineKernel({
    name: op.name,
    workgroup,
    needs: words.threads.needs,
    inputs: { dy: T, x: T, ...op.inputs, partial: `${T}?` },
    outputs,
    params: { rows: "u32", len: "u32", stripe: "u32", columns: "u32", stripes: "u32" },
    helpers: words.threads.helpers + (shape.kind === "thread" ? "" : each((name) => `var<workgroup> ${name}_parts: array<${T}, WG>;`)),
    code: (_, has) => {
      const dx = (sums: (k: number) => string) =>
        op.dx({ words, row: dyAndX(words, T), partial: (at) => (has["partial"] ? `partial[${at}] + ` : ""), sums });
      return shape.kind === "subgroup"
        ? stripes(shape.threads, shape.loads, dx)
        : columns(
            shape.kind,
            dx(() => ""),
          );
    },
  });

  const columns = (kind: keyof typeof LANES, dx: string) => /* wgsl */ `
    if (group < p.columns * p.stripes) {
      let column = group % p.columns * ${workgroup / LANES[kind]}u + li / ${LANES[kind]}u;
      let end = min((group / p.columns + 1u) * p.stripe, p.rows);
      ${each((name) => `var ${name}_sum: ${T};`)}
      for (var start = group / p.columns * p.stripe; start < end; start += ${SHORT}u) {
        ${each((name) => `var ${name}_short = ${T}();`)}
        for (var row = start + li % ${LANES[kind]}u; row < min(start + ${SHORT}u, end); row += ${LANES[kind]}u) {
          let at = row * p.len + min(column, p.len - 1u);
          let d = dy[at];
          ${op.element}
          ${each((name) => `${name}_short += ${op.sums[name]};`)}
        }
        ${each((name) => `${name}_sum += ${name}_short;`)}
      }
      ${
        kind === "workgroup"
          ? `
      ${each((name) => `${name}_parts[li] = ${name}_sum; ${name}_sum = ${T}();`)}
      workgroupBarrier();
      for (var lane = 0u; lane < ${LANES.workgroup}u; lane++) {
        ${each((name) => `${name}_sum += ${name}_parts[li / ${LANES.workgroup}u * ${LANES.workgroup}u + lane];`)}
      }`
          : ""
      }
      if (column < p.len && li % ${LANES[kind]}u == 0u) {
        ${each((name) => `${name}[group / p.columns * p.len + column] = ${name}_sum;`)}
      }
      return;
    }
    ${words.code(dx, "(group - p.columns * p.stripes)")}`;

  // Each of the workgroup's `teams` takes every so many rows of the stripe; at the end their sums are added, in order.
  const stripes = (threads: number, loads: number, dx: (sums: (k: number) => string) => string) => {
    const teams = workgroup / threads;
    const perLoad = (line: (k: number) => string) => unroll(loads, line, "");
    return /* wgsl */ `
    ${words.places}
    ${perLoad((k) => each((name) => `var ${name}_${k}: ${T};`))}
    for (var turn = 0u; turn < p.stripe / ${teams}u; turn++) {
      let at = group * p.stripe + turn * ${teams}u + place / ${threads}u;
      let alive = at < p.rows;
      let row = min(at, p.rows - 1u);
      ${dx((k) => each((name) => `${name}_${k} += ${op.sums[name]};`))}
    }
    ${perLoad(
      (k) => /* wgsl */ `
    ${each((name) => `${name}_parts[place % WG] = ${name}_${k};`)}
    workgroupBarrier();
    if (place < ${threads}u && own + ${k * threads}u < p.len) {
      ${each((name) => `var ${name}_sum = ${name}_parts[own];`)}
      for (var team = 1u; team < ${teams}u; team++) { ${each((name) => `${name}_sum += ${name}_parts[team * ${threads}u + own];`)} }
      ${each((name) => `${name}[group * p.len + own + ${k * threads}u] = ${name}_sum;`)}
    }
    workgroupBarrier();`,
    )}`;
  };

  /** Rows of a stripe, and workgroups. */
  const cut = ({ rows, len, groups }: RowGrid) => {
    if (shape.kind === "subgroup") {
      const teams = workgroup / shape.threads;
      const stripe = Math.ceil(Math.max(MIN_ROWS, rows / WORKGROUPS) / teams) * teams;
      return { stripe, stripes: Math.ceil(rows / stripe), columns: 0, groups: Math.ceil(rows / stripe) };
    }
    const stripe = shape.kind === "thread" ? rows : STRIPE;
    const stripes = Math.ceil(rows / stripe);
    const columns = Math.ceil((len * LANES[shape.kind]) / workgroup);
    return { stripe, stripes, columns, groups: columns * stripes + groups };
  };

  return (grid, tensors, partial) => {
    const { groups, ...parts } = cut(grid);
    const made = kernel({
      inputs: { ...tensors, partial },
      outputs: { dx: tensors.x, ...Object.fromEntries(names.map((name) => [name, [parts.stripes, grid.D]])) },
      params: { rows: grid.rows, len: grid.len, ...parts },
      groups,
      ...(parts.stripes === 1 ? {} : { together: names }),
    });
    const sums = names.map((name) => made[name]!);
    return [made["dx"]!, ...(parts.stripes === 1 ? sums.map((t) => t.view([grid.D])) : addParts(sums))];
  };
}
