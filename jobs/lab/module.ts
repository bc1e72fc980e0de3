/**
 * A kernel's text as a file: which of an operation's modules it stands for, and how it takes that one's place at every size.
 *
 * A file is what `op NAME --print-wgsl` prints, all of it or one of its modules, with changes: a module begins at its line
 * `// forward: …`, `// backward: …` or `// launch: …`. It stands for the module with bindings of the same names and access; where several have them, for
 * the one that shares the most lines with it.
 */
import type { Module } from "../../checks/rewrite.ts";
import { UsageError } from "../errors.ts";

/** A shipped module, and the text to run in its place. */
export interface Edit {
  readonly shipped: Module;
  readonly code: string;
}

/** The edits that a file makes; a file without any stands for its first module as it is. */
export function editsIn(file: string, shipped: readonly Module[]): readonly [Edit, ...Edit[]] {
  const sections = file.split(/^(?=\/\/ (?:forward|backward|launch): )/m).filter((text) => /\bfn\s+main\b/.test(text));
  if (sections.length === 0) throw new UsageError("expected a WGSL module with an entry point main, got none");
  const edits = sections.map((text) => {
    const code = text.replace(/^\/\/ (?:forward|backward|launch): .*\n/, "").trimEnd();
    return { shipped: shippedFor(code, shipped), code };
  });
  const changed = edits.filter((edit) => edit.code !== edit.shipped.code);
  return (changed.length > 0 ? changed : edits.slice(0, 1)) as [Edit, ...Edit[]];
}

function shippedFor(code: string, shipped: readonly Module[]): Module {
  const wanted = bindingsOf(code);
  const alike = shipped.filter((m) => bindingsOf(m.code) === wanted);
  if (alike.length === 0)
    throw new UsageError(
      `expected the bindings of one of its modules (${[...new Set(shipped.map((m) => `${m.label}: ${bindingsOf(m.code)}`))].join("; ")}), got ${wanted || "none"}`,
    );
  const lines = new Set(code.split("\n").map((line) => line.trim()));
  const shared = (m: Module) => m.code.split("\n").filter((line) => lines.has(line.trim())).length / m.code.split("\n").length;
  return alike.reduce((best, m) => (shared(m) > shared(best) ? m : best));
}

/** "read x, read weight, read_write y, uniform p" */
export const bindingsOf = (code: string): string =>
  [...code.matchAll(/@binding\((\d+)\)\s*var<(?:storage,\s*)?(\w+)>\s*(\w+)/g)]
    .sort((a, b) => Number(a[1]) - Number(b[1]))
    .map(([, , access, name]) => `${access} ${name}`)
    .join(", ");

/** What is compiled into a module for its sizes: constants, and the count of workgroups where the grid is folded. */
const SIZES = /^(const \w+: (?:u32|f32) = | {2}if \(group >= )([\d.e+-]+u?)(;|\) \{ return; \})$/gm;
const general = (code: string): string => code.replace(SIZES, "$1$3");

/** Whether both are one kernel, for sizes that may differ. */
export const sameKernel = (a: string, b: string): boolean => general(a) === general(b);

/** The edit's text for the sizes of `code`, a module of the same kernel. Constants that the edit changed stay as it has them. */
export function forSizes({ shipped, code: edited }: Edit, code: string): string {
  const own = [...shipped.code.matchAll(SIZES)];
  return [...code.matchAll(SIZES)].reduce((text, [line], i) => text.replace(own[i]![0], line), edited);
}
