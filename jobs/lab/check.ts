/** Holds an edited kernel to the cases that run it. */
import { type Case, CheckError, Checked, type Finding, keeping, type Kept } from "../../checks/check.ts";
import { harder } from "../../checks/harder.ts";
import type { Op } from "../../checks/op.ts";
import { DeviceLostError, OutOfMemoryError, ShaderError, ValidationError } from "../../engine/errors.ts";
import { pipelineOf } from "../../engine/pipeline.ts";
import { rewriteModules, type Rewrite } from "../../checks/rewrite.ts";
import { bindingsOf, forSizes, sameKernel, type Edit } from "./module.ts";
import type { Listed } from "./modules.ts";

export interface CaseVerdict {
  readonly name: string;
  /** Whether the case runs the edited module; the others say nothing of it and are not run. */
  readonly uses: boolean;
  readonly ok: boolean;
  /** Absent where the case compares in a way of its own, or did not run. */
  readonly values?: Finding;
  /** By the input's name. */
  readonly gradients?: Readonly<Record<string, Finding>>;
  readonly faults: readonly string[];
}

/** Runs the edits in place of what was shipped. */
export const edited =
  (edits: readonly Edit[]): Rewrite =>
  ({ code }) => {
    const edit = edits.find(({ shipped }) => sameKernel(shipped.code, code));
    return edit ? forSizes(edit, code) : null;
  };

export const uses = (edits: readonly Edit[], { modules }: Listed): boolean =>
  modules.some(({ code }) => edits.some(({ shipped }) => sameKernel(shipped.code, code)));

/** Compiles what a case launches with the edits, and those under harder conditions, side by side. What does not compile is told by the case. */
export async function compileCase(edits: readonly Edit[], { modules }: Listed): Promise<void> {
  const texts = modules.flatMap(({ label, code }) => {
    const own = edited(edits)({ label, code });
    return (own === null ? [code] : [own, harder(own)]).flatMap((text) => (text ? { label, text } : []));
  });
  await Promise.allSettled(texts.map(({ label, text }) => pipelineOf(label, text, signatureOf(text)).compile()));
}

const ACCESS: Readonly<Record<string, string>> = { read: "r", storage: "r", read_write: "w", uniform: "u" };
const signatureOf = (code: string): string =>
  bindingsOf(code)
    .split(", ")
    .map((binding) => ACCESS[binding.split(" ")[0]!])
    .join("");

/** Runs one case with the edits: as it is, and where that is right, under harder conditions. Throws where the text cannot be run at all. */
export async function checkCase(op: Op, edits: readonly Edit[], listed: Listed): Promise<CaseVerdict> {
  const { name } = listed.test;
  if (!uses(edits, listed)) return { name, uses: false, ok: true, faults: [] };
  const stop = rewriteModules(edited(edits));
  try {
    const first = await outcome(op, listed);
    if (!first.ok) return first;
    const texts = new Set(listed.modules.flatMap(({ code }) => edited(edits)({ label: "", code }) ?? []));
    const stopHarder = rewriteModules(({ code }) => (texts.has(code) ? harder(code) : null));
    try {
      const second = await outcome(op, listed);
      return second.ok ? first : { ...second, faults: [ORDER, ...second.faults] };
    } finally {
      stopHarder();
    }
  } finally {
    stop();
  }
}

/** Said where a kernel is right in the usual order alone. */
export const ORDER =
  "wrong only with workgroups and threads in the other order and workgroup memory that held 1e30: expected a barrier between a write and another thread's read, and nothing read that was not written";

const memories = new WeakMap<Case, Kept>();

function memoryOf(test: Case): Kept {
  const memory = memories.get(test) ?? new Map<string, unknown>();
  memories.set(test, memory);
  return memory;
}

async function outcome(op: Op, { test }: Listed): Promise<CaseVerdict> {
  const { name } = test;
  try {
    const result = await keeping(memoryOf(test), () => test.run());
    return { name, uses: true, ok: true, ...(result instanceof Checked ? told(op, result) : { faults: [] }) };
  } catch (error) {
    if (error instanceof CheckError) return { name, uses: true, ok: false, ...told(op, error.checked) };
    if ([ShaderError, ValidationError, DeviceLostError, OutOfMemoryError].some((kind) => error instanceof kind)) throw error;
    return { name, uses: true, ok: false, faults: [(error as Error).message.split("\n")[0]!] };
  }
}

function told(op: Op, { values, gradients, faults }: Checked): Pick<CaseVerdict, "values" | "gradients" | "faults"> {
  const names = Object.keys(op.inputs);
  return {
    values,
    gradients: Object.fromEntries(Object.entries(gradients).map(([i, finding]) => [names[Number(i)] ?? `input ${i}`, finding])),
    faults,
  };
}
