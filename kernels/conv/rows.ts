/** How the convolutions' kernels read pixels: rows of an image, a tile's columns at a time. */
import type { Elem } from "../../engine/kernel.ts";

/**
 * WGSL that reads the columns `columns` of the row `row` (i32), counted from a tile's first column x0 = tile * step (i32), in
 * vectors where alignment is known. `place` computes where, once; `load` reads from the plane that starts at `first`; `value`
 * names a column's value. Outside of the image, and unless `given` holds, it is 0. `step` is null if x0 is any number, `H` if
 * the row surely exists.
 */
export function rowReader(
  kind: string,
  { columns, H, W, step, tiles }: { columns: readonly number[]; H: number | null; W: number; step: number | null; tiles: number },
) {
  const width = step === null ? 1 : ([4, 2].find((v) => W % v === 0 && step % v === 0) ?? 1);
  const unitOf = (column: number) => Math.floor(column / width);
  const units = [...new Set(columns.map(unitOf))].sort((a, b) => a - b);
  const lanes = (unit: number) => [...new Set(columns.filter((c) => unitOf(c) === unit).map((c) => c - unit * width))];
  const id = (unit: number) => unit - units[0]!;
  const always = (unit: number) => step !== null && unit >= 0 && (tiles - 1) * step + (unit + 1) * width <= W;
  const one = (unit: number) => width > 1 && lanes(unit).length === 1;
  return {
    elem: (width === 4 ? "vec4f" : width === 2 ? "vec2f" : "f32") as Elem,
    width,
    place: (given: readonly string[] = []) =>
      units.flatMap((unit) => {
        const x = `x0 + ${unit * width}`;
        const ok =
          [...given, ...(H !== null ? [`(row >= 0) & (row < ${H})`] : []), ...(always(unit) ? [] : [`(${x} >= 0) & (${x} < ${W})`])].join(
            " & ",
          ) || "true";
        const at = `${H !== null ? `clamp(row, 0, ${H - 1})` : "row"} * ${W} + ${always(unit) ? x : `clamp(${x}, 0, ${W - width})`}`;
        return [`let ${kind}_at${id(unit)} = u32(${at}) / ${width}u;`, `let ${kind}_ok${id(unit)} = ${ok};`];
      }),
    load: (name: string, buffer: string, first: string) =>
      units.map((unit) => {
        const value = `${buffer}[${first} / ${width}u + ${kind}_at${id(unit)}]${one(unit) ? `.${"xyzw"[lanes(unit)[0]!]}` : ""}`;
        return `let ${name}_${id(unit)} = select(${one(unit) || width === 1 ? "0.0" : `vec${width}f()`}, ${value}, ${kind}_ok${id(unit)});`;
      }),
    value: (name: string, column: number) => {
      const unit = unitOf(column);
      return `${name}_${id(unit)}${one(unit) || width === 1 ? "" : `.${"xyzw"[column - unit * width]}`}`;
    },
  };
}
