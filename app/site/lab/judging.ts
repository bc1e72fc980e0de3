/** Compiles, checks and times an edited kernel. Needs a device before it is loaded: cases are made for it. */
import { type Ceilings, measureCeilings } from "../../../bench/ceilings.ts";
import { ops, opNamed } from "../../../checks/catalog.ts";
import { getDevice, initDevice } from "../../../engine/device.ts";
import { checkCase, uses } from "../../../jobs/lab/check.ts";
import { bindingsOf, type Edit } from "../../../jobs/lab/module.ts";
import { launchesOf, listCases, type Listed } from "../../../jobs/lab/modules.ts";
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

async function compiled({ edit, code, shipped }: Work): Promise<boolean> {
  const { gpu } = getDevice();
  gpu.pushErrorScope("validation");
  const module = gpu.createShaderModule({ code });
  const [{ messages }] = await Promise.all([module.getCompilationInfo(), gpu.popErrorScope()]);
  const found = messages.map(
    ({ lineNum, linePos, length, type, message }): Message => ({ line: lineNum, column: linePos, length, kind: type, text: message }),
  );
  const [wanted, got] = [bindingsOf(shipped.code), bindingsOf(code)];
  if (wanted !== got)
    found.push({ line: 1, column: 1, length: 1, kind: "error", text: `expected the bindings ${wanted}, got ${got || "none"}` });
  tell({ kind: "compiled", edit, messages: found });
  return !found.some(({ kind }) => kind === "error");
}

async function judge(work: Work): Promise<void> {
  const started = performance.now();
  const { edit, shipped, code } = work;
  const stale = () => edit !== newest;
  const edits: readonly [Edit] = [{ shipped, code }];
  const op = opNamed(work.op);
  if (!(await compiled(work))) return;
  const running = (await casesOf(work.op)).filter((one) => uses(edits, one));
  let right = true;
  for (const one of running) {
    if (stale()) return;
    const verdict = await checkCase(op, edits, one);
    right &&= verdict.ok;
    tell({ kind: "case", edit, verdict, of: running.length });
  }
  if (stale()) return;
  if (right) {
    if (!ceilings || performance.now() - ceilings.at > CEILINGS_MS)
      ceilings = { at: performance.now(), measured: await measureCeilings(set()) };
    const { measured } = ceilings;
    const timed = await timeEdit(op, edits, { limits: LIMITS, ceilings: () => Promise.resolve(measured) });
    tell({
      kind: "timed",
      edit,
      time: timed?.time ?? null,
      roofline: timed?.roofline ?? null,
      why: timed ? "" : "none of the operation's timed sizes runs this kernel",
    });
  } else tell({ kind: "timed", edit, time: null, roofline: null, why: "only what is right is timed" });
  tell({ kind: "judged", edit, ms: performance.now() - started });
}

/** What the page asks. Of edits that wait, only the newest is judged. */
export async function answer(message: ToWorker): Promise<void> {
  await initDevice();
  if (message.kind === "open") tell({ kind: "opened", op: message.op, kernels: await kernelsOf(message.op, message.sizes) });
  else if (message.edit === newest) await judge(message);
}

/** Tells of an edit at once, while an older one may still be judged. */
export const arrived = (message: ToWorker): void => void (newest = message.kind === "judge" ? message.edit : newest);

export const names = (): string[] => Object.keys(ops);
