/** What a line costs by the text alone, and what of the module's form is worth a look: by wgsl_reflect's model, no measurement. */
import { analyzePerformance, buildShaderCostTree, costByLine } from "wgsl_reflect";

export interface LineCost {
  /** For the margin: units of arithmetic, a load or store as ten of them. */
  readonly short: string;
  readonly says: string;
}

export interface Statics {
  readonly lines: ReadonlyMap<number, LineCost>;
  /** "line 12: barrier in a loop …", and what the model had to assume. */
  readonly notes: readonly string[];
}

const MEMORY = 10;
const SPECIAL = 4;

const figure = (value: number): string => String(Number(value.toPrecision(3)));

/** Nothing where the text does not parse: the compiler says why. */
export function staticsOf(code: string): Statics {
  try {
    const { entries, warnings } = buildShaderCostTree(code);
    const found = entries.length > 0 ? costByLine(entries[0]!.root) : new Map<number, never>();
    const barriers = code.split("\n").map((line) => (line.match(/\b(?:workgroup|storage)Barrier\s*\(/g) ?? []).length);
    const lines = new Map<number, LineCost>();
    for (const [line, { alu, sfu, memory }] of found) {
      const barrier = barriers[line - 1] ?? 0;
      const all = alu + SPECIAL * sfu + MEMORY * memory;
      lines.set(line, {
        short: `${figure(all)}${barrier > 0 ? " ‖" : ""}`,
        says: [
          `${figure(alu)} arithmetic`,
          `${figure(sfu)} special functions`,
          `${figure(memory)} loads and stores`,
          ...(barrier > 0 ? [`${barrier} barriers`] : []),
        ].join(", "),
      });
    }
    const notes = analyzePerformance(code).findings.map(({ line, message }) => `line ${line}: ${message}`);
    return { lines, notes: [...notes, ...warnings] };
  } catch {
    return { lines: new Map(), notes: [] };
  }
}
