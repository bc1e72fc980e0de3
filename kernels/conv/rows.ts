/** How the convolutions' kernels read pixels: rows of an image, a tile's columns at a time. */
import type { Elem } from "../../engine/kernel.ts";

export interface RowReader {
  readonly elem: Elem;
  /** Computes where, once: `KIND_atN` and whether it is inside of the image, `KIND_okN`. */
  place(given?: string): string;
  /** Reads from the plane that starts at `first`: `NAME_N`, a vector or a number each. */
  load(name: string, buffer: string, first: string): string;
  /** A column's value. */
  value(name: string, column: number): string;
}

/**
 * WGSL that reads the columns `columns` of the row `row` (i32), counted from a tile's first column x0 = tile * step (i32), in
 * vectors where alignment is known. Outside of the image, and unless `given` holds, values are 0. `step` is null if x0 is any number,
 * `H` if the row surely exists.
 */
export function rowReader(
  kind: string,
  { columns, H, W, step, tiles }: { columns: readonly number[]; H: number | null; W: number; step: number | null; tiles: number },
): RowReader {
  const width = step === null ? 1 : ([4, 2].find((v) => W % v === 0 && step % v === 0) ?? 1);
  const unitOf = (column: number) => Math.floor(column / width);
  const units = [...new Set(columns.map(unitOf))].sort((a, b) => a - b);
  const lanes = (unit: number) => [...new Set(columns.filter((c) => unitOf(c) === unit).map((c) => c - unit * width))];
  const id = (unit: number) => unit - units[0]!;
  const always = (unit: number) => step !== null && unit >= 0 && (tiles - 1) * step + (unit + 1) * width <= W;
  const one = (unit: number) => width > 1 && lanes(unit).length === 1;
  return {
    elem: width === 4 ? "vec4f" : width === 2 ? "vec2f" : "f32",
    place: (given) =>
      units
        .map((unit) => {
          const x = `x0 + ${unit * width}`;
          const inRow = H === null ? undefined : `(row >= 0) & (row < ${H})`;
          const inColumns = always(unit) ? undefined : `(${x} >= 0) & (${x} < ${W})`;
          const ok = [given, inRow, inColumns].filter(Boolean).join(" & ") || "true";
          const at = `${H !== null ? `clamp(row, 0, ${H - 1})` : "row"} * ${W} + ${always(unit) ? x : `clamp(${x}, 0, ${W - width})`}`;
          return `let ${kind}_at${id(unit)} = u32(${at}) / ${width}u; let ${kind}_ok${id(unit)} = ${ok};`;
        })
        .join("\n    "),
    load: (name, buffer, first) =>
      units
        .map((unit) => {
          const value = `${buffer}[${first} / ${width}u + ${kind}_at${id(unit)}]${one(unit) ? `.${"xyzw"[lanes(unit)[0]!]}` : ""}`;
          return `let ${name}_${id(unit)} = select(${one(unit) || width === 1 ? "0.0" : `vec${width}f()`}, ${value}, ${kind}_ok${id(unit)});`;
        })
        .join("\n      "),
    value: (name, column) => {
      const unit = unitOf(column);
      return `${name}_${id(unit)}${one(unit) || width === 1 ? "" : `.${"xyzw"[column - unit * width]}`}`;
    },
  };
}
