/** `op NAME --print-wgsl`: the whole WGSL of an operation's launches, forward and backward. Nothing runs. */
import { gradients } from "../engine/autograd.ts";
import { withRecorder, type Launch } from "../engine/launch.ts";
import { Tensor } from "../engine/tensor.ts";
import { refusing } from "./errors.ts";
import type { Host } from "./host.ts";
import { checkAttrs, checkVariant, opNamed } from "../checks/catalog.ts";
import { differentiable, type Op } from "../checks/op.ts";

export interface WgslArgs {
  readonly name: string;
  readonly attrs?: Readonly<Record<string, unknown>> | undefined;
  readonly variant?: string | undefined;
}

export interface WgslResult {
  readonly launches: readonly {
    readonly pass: "forward" | "backward";
    readonly kernel: string;
    readonly groups: readonly number[];
    readonly wgsl: string;
  }[];
}

/** Uses the first of the operation's timed sizes. */
export default async function opWgslJob(_: Host, { name, attrs = {}, variant }: WgslArgs): Promise<WgslResult> {
  const forward: Launch[] = [],
    backward: Launch[] = [];
  refusing(() => {
    const op = refusing(() => opNamed(name));
    refusing(() => checkVariant(op, variant));
    const { inputs: shapes, attrs: values } = sizedFor(op, attrs);
    const inputs = Object.fromEntries(
      Object.entries(shapes).map(([key, shape]) => [key, Tensor.zeros(shape, op.inputs[key]!.bytes ? "u8" : "f32")]),
    );
    const wanted = differentiable(op).flatMap((key) => inputs[key] ?? []);
    for (const t of wanted) t.requiresGrad = true;
    const { y } = withRecorder({ launches: forward }, () => op.run(inputs, values, variant));
    if (y!.requiresGrad) withRecorder({ launches: backward }, () => void gradients(y!, wanted, y!));
    for (const t of Object.values(inputs)) t.dispose();
  });
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
