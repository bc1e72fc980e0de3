/** Compiles, checks and times an edited kernel. Needs a device before it is loaded: cases are made for it. */
import { type Ceilings, measureCeilings } from "../../../bench/ceilings.ts";
import { ops, opNamed } from "../../../checks/catalog.ts";
import type { Op } from "../../../checks/op.ts";
import { getDevice, initDevice } from "../../../engine/device.ts";
import { checkCase, uses } from "../../../jobs/lab/check.ts";
import { debugKernel, withoutDbg } from "../../../jobs/lab/debug.ts";
import { bindingsOf, type Edit } from "../../../jobs/lab/module.ts";
import { launchesOf, listCases, type Listed } from "../../../jobs/lab/modules.ts";
import { timeStep } from "../../../jobs/lab/step.ts";
import { timeEdit } from "../../../jobs/lab/time.ts";
import type { FromWorker, Kernel, Message, ToWorker, Work } from "./messages.ts";

const tell = (message: FromWorker): void => postMessage(message);

/** The cases of the operation that was opened last. */
let listed: { readonly op: string; readonly cases: readonly Listed[] } | null = null;
let newest = 0;
let ceilings: { readonly at: number; readonly measured: Ceilings } | null = null;

/** What the clock allows while somebody waits for the verdict. */
const LIMITS = { samples: 12, seconds: 0.3, atMostSeconds: 0.5, sampleMs: 10, warmMs: 0 };
const CEILINGS_MS = 60_000;

const set = (): "software" | "gpu" => (getDevice().adapter.software ? "software" : "gpu");

async function casesOf(name: string): Promise<readonly Listed[]> {
  if (listed?.op !== name) listed = { op: name, cases: await listCases(opNamed(name)) };
  return listed.cases;
}

/** Those of the first timed size first, then those that only some case launches. */
async function kernelsOf(name: string): Promise<Kernel[]> {
  const op = opNamed(name);
  const kernels = new Map<string, Kernel>();
  const add = (what: string, { label, code }: { readonly label: string; readonly code: string }) => {
    if (!kernels.has(code)) kernels.set(code, { name: `${label}, ${what}`, label, code });
  };
  const sized = op.problem(op.timed[0]!.sizes, op.timed[0]!.attrs);
  const { forward, backward, dispose } = launchesOf(op, sized, undefined);
  dispose();
  for (const { pipeline } of forward) add(`forward at ${sized.name}`, pipeline);
  for (const { pipeline } of backward) add(`backward at ${sized.name}`, pipeline);
  for (const { test, modules } of await casesOf(name)) for (const module of modules) add(test.name, module);
  return [...kernels.values()];
}

/** Measured anew where the last measurement is older, in milliseconds. */
async function ceilingsWithin(ms: number): Promise<Ceilings> {
  if (!ceilings || performance.now() - ceilings.at > ms) ceilings = { at: performance.now(), measured: await measureCeilings(set()) };
  return ceilings.measured;
}

/** What the compiler says of a module. */
export async function compilerMessages(code: string): Promise<Message[]> {
  const { gpu } = getDevice();
  gpu.pushErrorScope("validation");
  const module = gpu.createShaderModule({ code });
  const [{ messages }] = await Promise.all([module.getCompilationInfo(), gpu.popErrorScope()]);
  return messages.map(({ lineNum, linePos, length, type, message }) => ({
    line: lineNum,
    column: linePos,
    length,
    kind: type,
    text: message,
  }));
}

async function compiled(edit: number, shipped: Kernel, code: string): Promise<boolean> {
  const messages = await compilerMessages(code);
  const [wanted, got] = [bindingsOf(shipped.code), bindingsOf(code)];
  if (wanted !== got)
    messages.push({ line: 1, column: 1, length: 1, kind: "error", text: `expected the bindings ${wanted}, got ${got || "none"}` });
  tell({ kind: "compiled", edit, messages });
  return !messages.some(({ kind }) => kind === "error");
}

/** Checks the cases and, where all are right, times; tells each result. */
export async function checkAndTime(
  edit: number,
  op: Op,
  edits: readonly Edit[],
  running: readonly Listed[],
  started: number,
): Promise<void> {
  const stale = () => edit !== newest;
  let right = true;
  for (const one of running) {
    if (stale()) return;
    const verdict = await checkCase(op, edits, one);
    right &&= verdict.ok;
    tell({ kind: "case", edit, verdict, of: running.length });
  }
  if (stale()) return;
  if (right) {
    const timed = await timeEdit(op, edits, { limits: LIMITS, ceilings: () => ceilingsWithin(CEILINGS_MS) });
    tell({
      kind: "timed",
      edit,
      time: timed?.time ?? null,
      roofline: timed?.roofline ?? null,
      why: timed ? "" : "none of the operation's timed sizes runs this kernel",
    });
  } else tell({ kind: "timed", edit, time: null, roofline: null, why: "only what is right is timed" });
  tell({ kind: "judged", edit, ms: performance.now() - started });
  // So that the next verdict need not wait for it.
  if (edit === newest) await ceilingsWithin(CEILINGS_MS / 2);
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
    tell({ kind: "opened", op: message.op, kernels: await kernelsOf(message.op) });
    return void (await ceilingsWithin(CEILINGS_MS / 2));
  }
  const { edit } = message;
  if (edit !== newest) return;
  switch (message.kind) {
    case "judge":
      return judge(message);
    case "step":
      return tell({ kind: "stepped", edit, step: await timeStep([{ shipped: message.shipped, code: withoutDbg(message.code) }]) });
    case "debug":
      return tell({ kind: "debugged", edit, seen: await debugKernel(opNamed(message.op), message, message.threads) });
    case "draft": {
      const { judgeDraft } = await import("./drafting.ts");
      return judgeDraft(edit, message.draft, tell);
    }
  }
}

/** Tells of an edit at once, while an older one may still be judged. */
export const arrived = (message: ToWorker): void => void (newest = message.kind === "open" ? newest : message.edit);

export const names = (): string[] => Object.keys(ops);
