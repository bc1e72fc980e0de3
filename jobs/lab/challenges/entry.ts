/**
 * An entry: WGSL in the form that the repository's kernels have, with the bindings left to the launcher. A text holds one kernel or more,
 * which run in their order, each after a line that says what it binds and how many threads or workgroups it wants:
 *
 *   // kernel: reads x, scale: vec4f; writes y, part [rows,4]; threads rows*D; workgroup 64; only D%4 = 0
 *   var<workgroup> shared_sum: array<f32, 64>;
 *   fn main() { ... }
 *
 * `reads`: inputs, and what kernels before it wrote. `writes`: outputs, and others with their shapes. `threads` are rounded up to whole
 * workgroups; `groups` counts workgroups. `only`: the kernel runs on such sizes alone, so that it may read vec4f; `D%4 > 0` are the others.
 * The code sees what defineKernel gives: buffers by name, sizes and numbers as `p.rows`, `group`, `li`, `WG` and the rest.
 */
import { shapeOf } from "../../../checks/op.ts";
import type { Challenge, Letters, Tensors } from "../../../checks/challenge.ts";
import { UsageError } from "../../errors.ts";
import { launcher } from "../draft.ts";
import { type Buffer, countOf, listOf, named, paramsOf, type ParsedKernel, typed } from "../draft-text.ts";

interface Only {
  readonly letter: string;
  readonly by: number;
  readonly whole: boolean;
}

interface EntryKernel extends ParsedKernel {
  readonly only: Only | null;
  /** Lines of the text, from 1: of its header, and where helpers and body begin. */
  readonly lines: { readonly header: number; readonly helpers: number; readonly body: number };
}

/** Of every entry's kernels: the same text is one pipeline, whatever it was called first. */
export const LABEL = "entry";

export interface Entry {
  readonly kernels: readonly EntryKernel[];
  /** Those that run on a size, in order. */
  on(n: Letters): readonly EntryKernel[];
  /** Launches the kernels that run on these sizes; returns the outputs. */
  run(inputs: Tensors, n: Letters): Tensors;
}

const lettersOf = ({ published }: Challenge): string[] => Object.keys(published.software);

/** Throws a `UsageError` that names the line where the text has another form. Compiles nothing. */
export function entryOf(challenge: Challenge, text: string): Entry {
  const heads = [...text.matchAll(/^\/\/ kernel:(.*)$/gm)];
  if (heads.length === 0)
    throw new UsageError('expected a line such as "// kernel: reads x; writes y; threads N; workgroup 64" before each kernel, got none');
  const attrs = challenge.constants ?? {};
  const letters = lettersOf(challenge);
  const known = new Map(Object.entries(challenge.inputs));
  const kernels = heads.map((head, i): EntryKernel => {
    const from = head.index + head[0].length + 1;
    const header = text.slice(0, head.index).split("\n").length;
    const where = `line ${header}`;
    try {
      const section = text.slice(from, heads[i + 1]?.index);
      const { helpers, body, bodyAt } = split(section);
      const kernel = { ...headerOf(where, head[1]!, challenge, known), helpers, body };
      const whole: ParsedKernel = { ...kernel, pass: "forward", label: LABEL };
      paramsOf({ attrs, letters: letters.filter((letter) => letter !== "rows") }, whole);
      if (!letters.includes("rows") && /\bp\.rows\b/.test(helpers + body))
        throw new Error(`expected p.${letters.join(", p.")}, got p.rows`);
      countOf(kernel.count, Object.fromEntries(letters.map((letter) => [letter, 1])), where);
      for (const { name, shape } of kernel.writes) known.set(name, shape);
      const body1 = text.slice(0, from + bodyAt).split("\n").length;
      return { ...whole, only: kernel.only, lines: { header, helpers: header + 1, body: body1 } };
    } catch (error) {
      const { message } = error as Error;
      throw new UsageError(message.startsWith(where) ? message : `${where}: ${message}`);
    }
  });
  const missing = Object.keys(challenge.outputs).filter((name) => !kernels.some(({ writes }) => writes.some((b) => b.name === name)));
  if (missing.length > 0) throw new UsageError(`expected kernels that write ${missing.join(", ")}, got none`);
  const launchers = new Map(kernels.map((kernel) => [kernel, launcher({ attrs, letters }, kernel)]));
  const on = (n: Letters) => kernels.filter(({ only }) => !only || (n[only.letter]! % only.by === 0) === only.whole);
  return {
    kernels,
    on,
    run(inputs, n) {
      const buffers = new Map(Object.entries(inputs));
      for (const kernel of on(n)) {
        const twice = kernel.writes.find(({ name }) => buffers.has(name));
        if (twice) throw new Error(`expected one kernel that writes ${twice.name}, got two`);
        launchers.get(kernel)!(buffers, { lead: [], n }, attrs);
      }
      return Object.fromEntries(
        Object.keys(challenge.outputs).map((name) => {
          const output = buffers.get(name);
          if (!output) throw new Error(`expected a kernel that writes ${name} on this size, got none`);
          return [name, output];
        }),
      );
    },
  };
}

type Header = Pick<EntryKernel, "reads" | "writes" | "by" | "count" | "workgroup" | "only">;

function headerOf(where: string, text: string, challenge: Challenge, known: ReadonlyMap<string, string>): Header {
  const fields = new Map(
    text.split(";").map((part) => {
      const [, key = "", value = ""] = /^\s*(\w+)\s+(.*\S)\s*$/.exec(part) ?? [];
      if (!["reads", "writes", "threads", "groups", "workgroup", "only"].includes(key))
        throw new Error(`expected reads, writes, threads or groups, workgroup, and only, each with a value, got "${part.trim()}"`);
      return [key, value];
    }),
  );
  const by = fields.has("groups") ? "groups" : "threads";
  const count = fields.get(by);
  if (count === undefined || (by === "groups" && fields.has("threads")))
    throw new Error(`expected threads or groups, got ${count ? "both" : "none"}`);
  const workgroup = Number(fields.get("workgroup") ?? 64);
  if (!Number.isInteger(workgroup) || workgroup < 1) throw new Error(`expected threads in a workgroup, got "${fields.get("workgroup")}"`);
  const reads = listOf(fields.get("reads") ?? "").map((part): Buffer => {
    const [name, elem] = typed(where, part);
    const shape = known.get(name);
    if (!shape) throw new Error(`expected to read one of ${[...known.keys()].join(", ")}, got "${name}"`);
    return { ...named(where, `${name} ${shape}`), elem };
  });
  const writes = listOf(fields.get("writes") ?? "").map((part): Buffer => {
    const [, left, own] = /^([^[]*?)\s*(\[.*\])?$/.exec(part)!;
    const [name, elem] = typed(where, left!);
    if (name in challenge.inputs)
      throw new Error(`expected outputs, and others by names of their own, to be written, got the input ${name}`);
    const shape = challenge.outputs[name] ?? own;
    if (!shape)
      throw new Error(
        `expected an output (${Object.keys(challenge.outputs).join(", ")}) or a name with its shape, such as "${name} [${lettersOf(challenge)[0]}]", got "${part}"`,
      );
    return { ...named(where, `${name} ${shape}`), elem };
  });
  if (writes.length === 0) throw new Error("expected buffers that it writes, got none");
  for (const { shape } of writes) sizeOf(shape, challenge);
  return { reads, writes, by, count, workgroup, only: onlyOf(fields.get("only"), challenge) };
}

function sizeOf(shape: string, challenge: Challenge): void {
  const size = shapeOf(shape, { lead: [], n: challenge.published.software }, {});
  if (size.length === 0 || !size.every((axis) => axis > 0))
    throw new Error(`expected a shape of ${lettersOf(challenge).join(", ")} and numbers, got "${shape}"`);
}

function onlyOf(text: string | undefined, challenge: Challenge): Only | null {
  if (text === undefined) return null;
  const [, letter = "", by, how] = /^(\w+)\s*%\s*([1-9]\d*)\s*([=>])\s*0$/.exec(text) ?? [];
  if (!lettersOf(challenge).includes(letter))
    throw new Error(`expected a condition such as "only ${lettersOf(challenge)[0]}%4 = 0", or "> 0", got "${text}"`);
  return { letter, by: Number(by), whole: how === "=" };
}

/** A section's text before `fn main()`, and what stands between its brackets. */
function split(section: string): { readonly helpers: string; readonly body: string; readonly bodyAt: number } {
  const main = /^fn main\(\) *\{/m.exec(section);
  if (!main) throw new Error('expected "fn main() {" after it, got none');
  const bodyAt = main.index + main[0].length;
  const end = section.lastIndexOf("\n}") + 1;
  if (end < bodyAt) throw new Error('expected a bracket that closes "fn main() {", got none');
  const rest = section
    .slice(end + 1)
    .split("\n")
    .find((line) => !/^\s*(\/\/.*)?$/.test(line));
  if (rest !== undefined) throw new Error(`expected nothing but comments behind "fn main()", got "${rest.trim().slice(0, 40)}"`);
  return { helpers: section.slice(0, main.index), body: section.slice(bodyAt, end), bodyAt };
}

/** The text's line for a line of the kernel's whole module; its header's where the launcher wrote that line. */
export function lineIn({ lines, helpers, body }: EntryKernel, code: string, line: number): number {
  for (const [part, from] of [
    [body, lines.body],
    [helpers, lines.helpers],
  ] as const) {
    const first = code.slice(0, code.indexOf(part)).split("\n").length;
    if (part.trim() && line >= first && line < first + part.split("\n").length) return from + line - first;
  }
  return lines.header;
}
