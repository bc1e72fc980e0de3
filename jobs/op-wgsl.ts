/** `op NAME --print-wgsl`: the whole WGSL of an operation's launches. Nothing runs. */
import { refusing, UsageError } from "./errors.ts";
import type { Host } from "./host.ts";
import { launchesOf, listCases } from "./lab/modules.ts";
import { checkAttrs, checkVariant, opNamed } from "../checks/catalog.ts";
import type { Op } from "../checks/op.ts";
import type { Launch } from "../engine/launch.ts";

export interface WgslArgs {
  readonly name: string;
  readonly attrs?: Readonly<Record<string, unknown>> | undefined;
  readonly variant?: string | undefined;
  /** Part of a case's name: what the first such case launches, in place of a timed size. */
  readonly only?: string | undefined;
}

export interface WgslResult {
  readonly launches: readonly {
    /** "launch" of a case, which does not tell them apart. */
    readonly pass: "forward" | "backward" | "launch";
    readonly kernel: string;
    /** Workgroups; none where it is not told. */
    readonly groups: readonly number[];
    readonly wgsl: string;
  }[];
}

/** On the first of the sizes that the operation is timed at, or of a case. */
export default async function opWgslJob(_: Host, { name, attrs = {}, variant, only }: WgslArgs): Promise<WgslResult> {
  const op = refusing(() => opNamed(name));
  refusing(() => checkVariant(op, variant));
  if (only !== undefined) {
    const listed = (await listCases(op)).find(({ test, modules }) => test.name.includes(only) && modules.length > 0);
    if (!listed) throw new UsageError(`expected a part of a case's name of ${name}, got "${only}"`);
    return { launches: listed.modules.map(({ label, code }) => ({ pass: "launch", kernel: label, groups: [], wgsl: code })) };
  }
  const { forward, backward, dispose } = refusing(() => launchesOf(op, sizedFor(op, attrs), variant));
  dispose();
  const told =
    (pass: "forward" | "backward") =>
    ({ pipeline, groups }: Launch) => ({ pass, kernel: pipeline.label, groups, wgsl: pipeline.code });
  return { launches: [...forward.map(told("forward")), ...backward.map(told("backward"))] };
}

function sizedFor(op: Op, attrs: Readonly<Record<string, unknown>>) {
  const { sizes, attrs: usual = {} } = op.timed[0]!;
  const given = { ...op.problem(sizes, usual).attrs, ...attrs };
  refusing(() => checkAttrs(op, given));
  return op.problem(sizes, given);
}
