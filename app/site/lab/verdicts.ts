/** What every verdict is made of: compiler's messages, cases, time, ceilings; each told as it comes, until a newer edit arrives. */
import { type Ceilings, measureCeilings } from "../../../bench/ceilings.ts";
import type { Op } from "../../../checks/op.ts";
import { getDevice } from "../../../engine/device.ts";
import { checkCase, compileCase } from "../../../jobs/lab/check.ts";
import type { Edit } from "../../../jobs/lab/module.ts";
import type { Listed } from "../../../jobs/lab/modules.ts";
import { timeEdit } from "../../../jobs/lab/time.ts";
import type { FromWorker, Message } from "./messages.ts";

export const tell = (message: FromWorker): void => postMessage(message);

let current = 0;
export const newest = (): number => current;
export const setNewest = (edit: number): void => void (current = edit);

let ceilings: { readonly at: number; readonly measured: Ceilings } | null = null;

/** What the clock allows while somebody waits for the verdict. */
export const LIMITS = { samples: 12, seconds: 0.3, atMostSeconds: 0.5, sampleMs: 10, warmMs: 0 };
export const CEILINGS_MS = 60_000;

const set = (): "software" | "gpu" => (getDevice().adapter.software ? "software" : "gpu");

/** Measured anew where the last measurement is older, in milliseconds. */
export async function ceilingsWithin(ms: number): Promise<Ceilings> {
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

/** Checks the cases and, where all are right, times; tells each result. */
export async function checkAndTime(
  edit: number,
  op: Op,
  edits: readonly Edit[],
  running: readonly Listed[],
  started: number,
): Promise<void> {
  const stale = () => edit !== newest();
  let right = true;
  for (const one of running) {
    if (stale()) return;
    tell({ kind: "phase", edit, compiling: true });
    await compileCase(edits, one);
    tell({ kind: "phase", edit, compiling: false });
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
  if (edit === newest()) await ceilingsWithin(CEILINGS_MS / 2);
}
