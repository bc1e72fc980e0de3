/** `op NAME --file KERNEL.wgsl`: one of an operation's kernels with another text: is it right, and is it faster than the shipped one? */
import { measureCeilings } from "../bench/ceilings.ts";
import { opNamed } from "../checks/catalog.ts";
import type { Op } from "../checks/op.ts";
import { getDevice } from "../engine/device.ts";
import { ShaderError, ValidationError } from "../engine/errors.ts";
import { refusing, UsageError } from "./errors.ts";
import type { Host } from "./host.ts";
import { checkCase, type CaseVerdict } from "./lab/check.ts";
import { debugKernel, type Seen, withoutDbg } from "./lab/debug.ts";
import { editsIn, type Edit } from "./lab/module.ts";
import { listCases } from "./lab/modules.ts";
import { timeStep, type StepVerdict } from "./lab/step.ts";
import { timeEdit, type Roofline, type TimeVerdict } from "./lab/time.ts";

export interface OpFileArgs {
  readonly name: string;
  /** A path of the host's. */
  readonly file: string;
  /** Only cases whose name contains this. */
  readonly only?: string | undefined;
  readonly check: boolean;
  readonly time: boolean;
  /** Whether a training step is timed with it and without. */
  readonly step?: boolean | undefined;
  /** Threads whose `dbg(i, value)` is told, as in lab/debug.ts. */
  readonly dbg?: string | undefined;
}

export interface OpFileResult {
  readonly op: string;
  /** The module that the file stands in for. */
  readonly module: string;
  readonly cases: readonly CaseVerdict[];
  readonly time?: TimeVerdict;
  readonly roofline?: Roofline;
  /** Why it was not timed. */
  readonly notTimed?: string;
  readonly step?: StepVerdict;
  /** Why no step was timed. */
  readonly notInStep?: string;
  readonly seen?: Seen;
}

export default async function opFileJob(host: Host, { name, file, only = "", check, time, step, dbg }: OpFileArgs): Promise<OpFileResult> {
  const op = refusing(() => opNamed(name));
  const text = new TextDecoder().decode(await host.readFile(file));
  const listed = (await listCases(op)).filter(({ test }) => test.name.includes(only));
  if (listed.length === 0) throw new UsageError(`expected a part of a case's name of ${name}, got "${only}"`);
  const typed = editsIn(
    text,
    listed.flatMap(({ modules }) => modules),
  );
  const edits = typed.map((edit) => ({ ...edit, code: withoutDbg(edit.code) }));
  const module = edits.map(({ shipped }) => shipped.label).join(", ");
  try {
    const seen =
      dbg === undefined ? {} : { seen: await debugKernel(op, typed.find(({ code }) => withoutDbg(code) !== code) ?? typed[0], dbg) };
    const cases: CaseVerdict[] = [];
    for (const [i, one] of (check ? listed : []).entries()) {
      host.progress({ label: `${module}: checks`, done: i, total: listed.length, note: one.test.name });
      cases.push(await checkCase(op, edits, one));
    }
    const result = { op: name, module, cases, ...seen };
    if (!time && !step) return result;
    if (cases.some(({ ok }) => !ok)) return { ...result, notTimed: "only what is right is timed" };
    host.progress({ label: `${module}: timing`, done: 0, total: 1 });
    return { ...result, ...(time ? await timed(op, edits) : {}), ...(step ? await timedStep(edits) : {}) };
  } catch (error) {
    if (error instanceof ShaderError || error instanceof ValidationError)
      throw new UsageError(`expected WGSL that this adapter runs, got ${error.message}`);
    throw error;
  }
}

async function timed(op: Op, edits: readonly Edit[]): Promise<Pick<OpFileResult, "time" | "roofline" | "notTimed">> {
  const set = getDevice().adapter.software ? "software" : "gpu";
  return (
    (await timeEdit(op, edits, { ceilings: () => measureCeilings(set) })) ?? {
      notTimed: "none of the operation's timed sizes runs this module",
    }
  );
}

async function timedStep(edits: readonly Edit[]): Promise<Pick<OpFileResult, "step" | "notInStep">> {
  const step = await timeStep(edits);
  return step ? { step } : { notInStep: "the step that is timed here does not run this module" };
}
