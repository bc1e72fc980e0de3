/** Judges a new operation: compiles each of its kernels, with messages at the lines of their bodies, then checks and times it as any other. */
import { modulesOf } from "../../../checks/check.ts";
import { draftOp } from "../../../jobs/lab/draft.ts";
import { type Draft, parse } from "../../../jobs/lab/draft-text.ts";
import type { Listed } from "../../../jobs/lab/modules.ts";
import { messageOf } from "../shell/message.ts";
import type { Message } from "./messages.ts";
import { makeReference } from "./reference.ts";
import { checkAndTime, compilerMessages, tell } from "./verdicts.ts";

export async function judgeDraft(edit: number, draft: Draft): Promise<void> {
  const started = performance.now();
  const listed: Listed[] = [];
  let made: ReturnType<typeof draftOp>;
  try {
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
    const before = code.slice(0, code.indexOf(body)).split("\n").length - 1;
    for (const message of await compilerMessages(code))
      found.push(
        message.line > before
          ? { ...message, kernel, line: message.line - before }
          : { ...message, kernel, line: 1, text: `before the body: ${message.text}` },
      );
  }
  return found;
}
