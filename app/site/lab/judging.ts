/** Compiles, checks and times an edited kernel. Needs a device before it is loaded: cases are made for it. */
import { ops, opNamed } from "../../../checks/catalog.ts";
import { initDevice } from "../../../engine/device.ts";
import { uses } from "../../../jobs/lab/check.ts";
import { debugKernel, withoutDbg } from "../../../jobs/lab/debug.ts";
import { bindingsOf } from "../../../jobs/lab/module.ts";
import { launchesOf, listCases, type Listed } from "../../../jobs/lab/modules.ts";
import { timeShapes } from "../../../jobs/lab/shapes.ts";
import { timeStep } from "../../../jobs/lab/step.ts";
import type { Kernel, ToWorker, Work } from "./messages.ts";
import { CEILINGS_MS, ceilingsWithin, checkAndTime, compilerMessages, LIMITS, newest, setNewest, tell } from "./verdicts.ts";

/** The cases of the operation that was opened last. */
let listed: { readonly op: string; readonly cases: readonly Listed[] } | null = null;

async function casesOf(name: string): Promise<readonly Listed[]> {
  if (listed?.op !== name) listed = { op: name, cases: await listCases(opNamed(name)) };
  return listed.cases;
}

/** Those of the asked or first timed size first, then those that only some case launches. */
async function kernelsOf(name: string, sizes: string | null): Promise<Kernel[]> {
  const op = opNamed(name);
  const kernels = new Map<string, Kernel>();
  const add = (what: string, { label, code }: { readonly label: string; readonly code: string }) => {
    if (!kernels.has(code)) kernels.set(code, { name: `${label}, ${what}`, label, code });
  };
  const timed = sizes === null ? op.timed[0]! : op.timed.find((one) => one.sizes === sizes);
  const sized = op.problem(timed?.sizes ?? sizes!, timed?.attrs);
  const { forward, backward, dispose } = launchesOf(op, sized, undefined);
  dispose();
  for (const { pipeline } of forward) add(`forward at ${sized.name}`, pipeline);
  for (const { pipeline } of backward) add(`backward at ${sized.name}`, pipeline);
  for (const { test, modules } of await casesOf(name)) for (const module of modules) add(test.name, module);
  return [...kernels.values()];
}

async function compiled(edit: number, shipped: Kernel, code: string): Promise<boolean> {
  const messages = await compilerMessages(code);
  const [wanted, got] = [bindingsOf(shipped.code), bindingsOf(code)];
  if (wanted !== got)
    messages.push({ line: 1, column: 1, length: 1, kind: "error", text: `expected the bindings ${wanted}, got ${got || "none"}` });
  tell({ kind: "compiled", edit, messages });
  return !messages.some(({ kind }) => kind === "error");
}

async function judge({ edit, shipped, code: text, op: name }: Work): Promise<void> {
  const started = performance.now();
  const code = withoutDbg(text);
  const edits = [{ shipped, code }];
  if (!(await compiled(edit, shipped, code))) return;
  const running = (await casesOf(name)).filter((one) => uses(edits, one));
  await checkAndTime(edit, opNamed(name), edits, running, started);
}

/** What the page asks. Of edits that wait, only the newest is judged. */
export async function answer(message: ToWorker): Promise<void> {
  await initDevice();
  if (message.kind === "open") {
    tell({ kind: "opened", op: message.op, kernels: await kernelsOf(message.op, message.sizes) });
    return void (await ceilingsWithin(CEILINGS_MS / 2));
  }
  const { edit } = message;
  if (edit !== newest()) return;
  switch (message.kind) {
    case "judge":
      return judge(message);
    case "step":
      return tell({ kind: "stepped", edit, step: await timeStep([{ shipped: message.shipped, code: withoutDbg(message.code) }]) });
    case "shapes":
      await timeShapes(
        opNamed(message.op),
        [{ shipped: message.shipped, code: withoutDbg(message.code) }],
        { limits: LIMITS, ceilings: () => ceilingsWithin(CEILINGS_MS) },
        (shape) => tell({ kind: "shape", edit, shape }),
      );
      return tell({ kind: "shaped", edit });
    case "debug":
      return tell({ kind: "debugged", edit, seen: await debugKernel(opNamed(message.op), message, message.threads) });
    case "debugDraft": {
      const { debugDraft } = await import("./drafting.ts");
      return tell({ kind: "debugged", edit, seen: await debugDraft(message.draft, message.threads) });
    }
    case "draft": {
      const { judgeDraft } = await import("./drafting.ts");
      return judgeDraft(edit, message.draft);
    }
  }
}

/** Tells of an edit at once, while an older one may still be judged. */
export const arrived = (message: ToWorker): void => {
  if (message.kind !== "open") setNewest(message.edit);
};

export const names = (): string[] => Object.keys(ops);
