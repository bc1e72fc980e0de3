/** `op NAME --print-wgsl`: the whole WGSL of an operation's launches, forward and backward. Nothing runs. */
import { gradients } from "../engine/autograd.ts";
import { withRecorder, type Launch } from "../engine/launch.ts";
import { Tensor } from "../engine/tensor.ts";
import { refusing, UsageError } from "./errors.ts";
import type { Host } from "./host.ts";
import { ops, type OpEntry } from "../checks/catalog.ts";
import { checkAttrs } from "./op.ts";

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

/** What the letters of an input's shape stand for here: a batch of DeiT's, and channels that groups divide. */
const SIZES: Readonly<Record<string, number>> = {
  "..": 2,
  B: 2,
  H: 12,
  W: 12,
  N: 198,
  M: 198,
  K: 192,
  I: 192,
  O: 192,
  D: 64,
  C: 192,
  kh: 3,
  kw: 3,
};

export default async function opWgslJob(_: Host, { name, attrs: given = {}, variant }: WgslArgs): Promise<WgslResult> {
  const entry = ops[name];
  if (!entry) throw new UsageError(`expected one of ${Object.keys(ops).join(", ")}, got "${name}"`);
  if (variant !== undefined && !entry.variants.includes(variant)) {
    throw new UsageError(
      `expected ${entry.variants.length > 0 ? `variant ${entry.variants.join(" or ")}` : "no --variant"} for ${name}, got "${variant}"`,
    );
  }
  const attrs = checkAttrs(entry, given);
  const inputs = inputsOf(entry, attrs);
  const forward: Launch[] = [],
    backward: Launch[] = [];
  const floating = Object.entries(inputs)
    .filter(([key, t]) => t.dtype === "f32" && !entry.inputs[key]!.buffer)
    .map(([, t]) => t);
  for (const t of floating) t.requiresGrad = true;
  refusing(() => {
    const { y } = withRecorder({ launches: forward }, () => entry.run(inputs, attrs, variant));
    if (y!.requiresGrad) withRecorder({ launches: backward }, () => void gradients(y!, floating, y!));
  });
  for (const t of Object.values(inputs)) t.dispose();
  const told =
    (pass: "forward" | "backward") =>
    ({ pipeline, groups }: Launch) => ({ pass, kernel: pipeline.label, groups, wgsl: pipeline.code });
  return { launches: [...forward.map(told("forward")), ...backward.map(told("backward"))] };
}

/** Zeros of sizes that the shapes' letters stand for. */
function inputsOf({ inputs }: OpEntry, attrs: Readonly<Record<string, unknown>>): Record<string, Tensor> {
  const size = (axis: string): number => {
    const [letter, by] = axis.split("/");
    const n = /^\d+$/.test(letter!) ? Number(letter) : (SIZES[letter!] ?? 1);
    return by ? n / Number(attrs[by] ?? 1) : n;
  };
  return Object.fromEntries(
    Object.entries(inputs)
      .filter(([, input]) => !input.classesOf)
      .map(([name, { shape, bytes }]) => {
        const axes = /^\[([^\]]*)\]/.exec(shape)?.[1] ?? "";
        return [name, Tensor.zeros(axes === "" ? [] : axes.split(",").map(size), bytes ? "u8" : "f32")];
      }),
  );
}
