/// <reference types="vite/types/importMeta.d.ts" />
/**
 * Every operation, and every case that holds a kernel to its reference: the exports of the files of checks/cases. A new file there is
 * found by itself: Node reads the folder, Vite (which serves and builds our pages) replaces `import.meta.glob` by the files.
 */
import type { Case } from "./check.ts";
import { folder } from "./folder.ts";
import type { Op } from "./op.ts";

interface CaseFile {
  readonly ops?: readonly Op[];
  readonly cases: readonly Case[];
}

const files = import.meta.env
  ? import.meta.glob<CaseFile>(["./cases/*.{ts,js}", "!./cases/*.d.ts"], { eager: true })
  : await folder<CaseFile>("./cases/");

/** The cases of each file, by its name without folder and ending. */
export const suites: Readonly<Record<string, readonly Case[]>> = Object.fromEntries(
  Object.entries(files).map(([path, { cases }]) => [path.replace(/^.*\/|\.\w+$/g, ""), cases]),
);

/** Every operation by name. */
export const ops: Readonly<Record<string, Op>> = Object.fromEntries(
  Object.values(files)
    .flatMap((file) => file.ops ?? [])
    .map((op) => [op.name, op]),
);

/** The operation, or an error that lists what there is. */
export function opNamed(name: string): Op {
  if (!Object.hasOwn(ops, name)) throw new Error(`op: expected one of ${Object.keys(ops).join(", ")}, got "${name}"`);
  return ops[name]!;
}

/** Every attribute's value. Unknown names and values out of range are refused, with what there is. */
export function checkAttrs({ attrs }: Op, given: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const known = Object.keys(attrs);
  const unknown = Object.keys(given).find((key) => !known.includes(key));
  if (unknown !== undefined)
    throw new Error(`op: expected ${known.length > 0 ? `attrs ${known.join(", ")}` : "no attrs"}, got "${unknown}"`);
  return Object.fromEntries(
    Object.entries(attrs).map(([key, { schema, says, fallback }]) => {
      const value = given[key];
      if (value === undefined && fallback) return [key, fallback.value];
      if (value === undefined || !schema.safeParse(value).success)
        throw new Error(`op: expected ${says} for attr ${key}, got ${JSON.stringify(value) ?? "none"}`);
      return [key, value];
    }),
  );
}

export function checkVariant({ name, variants }: Op, variant: string | undefined): void {
  if (variant !== undefined && !variants.includes(variant))
    throw new Error(
      `op: expected ${variants.length > 0 ? `variant ${variants.join(" or ")}` : "no variant"} for ${name}, got "${variant}"`,
    );
}

/** One line per operation: `name: inputs -> outputs; attrs with defaults; variants`. */
export function describeOps(): string {
  return Object.values(ops).map(describeOp).join("\n");
}

function describeOp({ name, inputs, outputs, attrs, variants, letters, timed }: Op): string {
  const takes = Object.entries(inputs).map(
    ([input, { shape, optional, classesOf, bytes, buffer }]) =>
      `${input}${optional ? "?" : ""} ${shape}${classesOf ? " I64 or I32" : bytes ? " U8" : ""}${buffer ? " (no gradient)" : ""}`,
  );
  const settings = Object.entries(attrs).map(
    ([key, { says, fallback }]) => `  ${key}: ${says}${fallback ? ` (default ${fallback.says})` : ""}`,
  );
  return [
    `${name}: ${takes.join(", ")} -> ${outputs}`,
    ...settings,
    ...(variants.length > 0 ? [`  variants: ${variants.join(", ")}`] : []),
    ...(timed.length > 0 ? [`  sizes: ${letters.join("x")}, e.g. ${timed[0]!.sizes}`] : []),
  ].join("\n");
}

/** An operation's own cases: those that name `variant` and those that name none, or all. */
export const casesOf = ({ name, variants }: Op, variant?: string): Case[] =>
  Object.values(suites)
    .flat()
    .filter((c) => isOf(c.name, name) && ofVariant(c.name, variants, variant));

/** `attention (shared): …`, `attention: …`, `attentionPacked (…`; `linear: …`. */
const isOf = (test: string, op: string): boolean => new RegExp(`^${op}(Packed)?\\b`).test(test);

/** A case that names a variant belongs to that variant; a case that names none belongs to all. */
function ofVariant(test: string, variants: readonly string[], wanted: string | undefined): boolean {
  const named = variants.find((v) => test.includes(`(${v})`) || test.endsWith(` by ${v}`));
  return wanted === undefined || named === undefined || named === wanted;
}
