/** Judges a new operation: compiles each of its kernels, with messages at the lines of their bodies, then checks and times it as any other. */
import { modulesOf } from "../../../checks/check.ts";
import { debugKernel, type Seen, withoutDbg } from "../../../jobs/lab/debug.ts";
import { draftOp } from "../../../jobs/lab/draft.ts";
import { type Draft, parse } from "../../../jobs/lab/draft-text.ts";
import type { Listed } from "../../../jobs/lab/modules.ts";
import { messageOf } from "../shell/message.ts";
import type { Message } from "./messages.ts";
import { makeReference } from "./reference.ts";
import { checkAndTime, compilerMessages, tell } from "./verdicts.ts";

/** The draft as it is checked and timed: without its calls of `dbg`. */
const withoutDebugging = (draft: Draft): Draft => ({
  ...draft,
  kernels: draft.kernels.map((kernel) => ({ ...kernel, helpers: withoutDbg(kernel.helpers), body: withoutDbg(kernel.body) })),
});

/** What the calls of `dbg` in its bodies saw on the size that is timed; lines are those of the body. */
export async function debugDraft(draft: Draft, threads: string): Promise<Seen> {
  const plain = withoutDebugging(draft);
  const { op, cases } = draftOp(plain, await makeReference(plain));
  const modules = await modulesOf(cases[0]!);
  let seen = null as Seen | null;
  for (const [kernel, { label, body }] of parse(plain).kernels.entries()) {
    const typed = draft.kernels[kernel]!.body;
    if (typed === body) continue;
    const shipped = modules.find((module) => module.label === label)!;
    const before = linesBefore(shipped.code, body);
    const found = await debugKernel(op, { shipped, code: shipped.code.replace(body, () => typed) }, threads);
    const rows = found.rows.map((row) => ({ ...row, line: row.line - before, kernel }));
    seen = { ...found, rows: [...(seen?.rows ?? []), ...rows], left: (seen?.left ?? 0) + found.left };
  }
  if (!seen) throw new Error("expected a call of dbg(i, value) in a kernel's body, got none");
  return seen;
}

const linesBefore = (code: string, body: string): number => code.slice(0, code.indexOf(body)).split("\n").length - 1;

export async function judgeDraft(edit: number, typed: Draft): Promise<void> {
  const started = performance.now();
  const listed: Listed[] = [];
  let made: ReturnType<typeof draftOp>;
  let draft: Draft;
  try {
    draft = withoutDebugging(typed);
    made = draftOp(draft, await makeReference(draft));
    for (const test of made.cases) listed.push({ test, modules: await modulesOf(test) });
  } catch (error) {
    return tell({ kind: "compiled", edit, messages: [{ line: 0, column: 0, length: 0, kind: "error", text: messageOf(error) }] });
  }
  const modules = new Map(listed.flatMap((one) => one.modules).map((module) => [module.code, module]));
  const messages = await kernelMessages(draft, [...modules.values()]);
  tell({ kind: "compiled", edit, messages });
  if (messages.some(({ kind }) => kind === "error")) return;
  const edits = [...modules.values()].map((module) => ({ shipped: module, code: module.code }));
  await checkAndTime(edit, made.op, edits, listed, started);
}

async function kernelMessages(draft: Draft, modules: readonly { readonly label: string; readonly code: string }[]): Promise<Message[]> {
  const found: Message[] = [];
  for (const [kernel, { label, body }] of parse(draft).kernels.entries()) {
    const code = modules.find((module) => module.label === label)!.code;
    const before = linesBefore(code, body);
    for (const message of await compilerMessages(code))
      found.push(
        message.line > before
          ? { ...message, kernel, line: message.line - before }
          : { ...message, kernel, line: 1, text: `before the body: ${message.text}` },
      );
  }
  return found;
}
