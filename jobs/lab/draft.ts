/**
 * An operation that is still being written: names of buffers, WGSL bodies and a reference, as one types them. It is made into what the
 * repository's own are: kernels by `defineKernel`, an operation by `defineOp`, an entry of the catalog with its cases.
 */
import type { Case } from "../../checks/check.ts";
import { op, positive, shapeOf, type Attr, type Op, type Sizes } from "../../checks/op.ts";
import { opCases } from "../../checks/op-cases.ts";
import { defineOp } from "../../engine/autograd.ts";
import { defineKernel } from "../../engine/kernel.ts";
import { numel, type Shape } from "../../engine/shape.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { countOf, type Draft, listOf, paramsOf, parse, type Parsed, type ParsedKernel } from "./draft-text.ts";

/** y in f64, of the inputs in order and of letters and attributes by name. */
export type Reference = (inputs: readonly Float64Array[], numbers: Readonly<Record<string, number>>) => ArrayLike<number>;

export interface DraftOp {
  readonly op: Op;
  readonly cases: readonly Case[];
}

/** Throws, saying what was expected, where the draft is not whole. Compiles nothing. */
export function draftOp(draft: Draft, reference: Reference): DraftOp {
  const parsed = parse(draft);
  const run = operation(parsed);
  const names = parsed.inputs.map(({ name }) => name);
  const backward = parsed.kernels.some(({ pass }) => pass === "backward");
  const entry = op<string, Record<string, number>>(draft.name, {
    // Without a backward no gradient flows.
    inputs: Object.fromEntries(parsed.inputs.map(({ name, shape }) => [name, { shape, buffer: !backward }])),
    outputs: `${parsed.output.name} ${parsed.output.shape}`,
    attrs: Object.fromEntries(Object.entries(parsed.attrs).map(([name, value]): [string, Attr<number>] => [name, positive(value)])),
    run: (inputs, attrs) =>
      run(
        names.map((name) => inputs[name]!),
        attrs,
      ),
    reference: (inputs, shapes, attrs) =>
      reference(
        names.map((name) => inputs[name]!),
        {
          ...lettersOf(
            parsed,
            names.map((name) => shapes[name]!),
          ).n,
          ...attrs,
        },
      ),
    timed: [{ sizes: draft.timed }],
  });
  return { op: entry, cases: opCases(entry, Object.fromEntries(listOf(draft.sizes).map((sizes) => [sizes, sizes]))) };
}

function operation(parsed: Parsed): (inputs: readonly Tensor[], attrs: Readonly<Record<string, number>>) => Tensor {
  const kernels = parsed.kernels.map((kernel) => ({ kernel, launch: launcher(parsed, kernel) }));
  const launchAll = (pass: "forward" | "backward", buffers: Map<string, Tensor>, sizes: Sizes, attrs: Readonly<Record<string, number>>) => {
    for (const { kernel, launch } of kernels) if (kernel.pass === pass) launch(buffers, sizes, attrs);
  };
  return defineOp({
    name: parsed.name,
    forward(inputs: readonly Tensor[], attrs: Readonly<Record<string, number>>) {
      const sizes = lettersOf(
        parsed,
        inputs.map(({ shape }) => shape),
      );
      const buffers = new Map(inputs.map((tensor, i) => [parsed.inputs[i]!.name, tensor]));
      launchAll("forward", buffers, sizes, attrs);
      return { y: buffers.get(parsed.output.name)!, saved: { buffers, sizes } };
    },
    backward(dy, { buffers, sizes }, inputs, attrs) {
      const all = new Map(buffers).set("dy", dy);
      launchAll("backward", all, sizes, attrs);
      return inputs.map((_, i) => all.get(`d${parsed.inputs[i]!.name}`) ?? null);
    },
  });
}

/** Launches one kernel on buffers by name, and adds what it writes to them. */
export function launcher(parsed: Pick<Parsed, "attrs" | "letters">, kernel: ParsedKernel) {
  const { reads, writes, by, count, workgroup, helpers, body, label } = kernel;
  const params = paramsOf(parsed, kernel);
  const define = defineKernel({
    name: label,
    inputs: Object.fromEntries(reads.map(({ name, elem }) => [name, elem])),
    outputs: Object.fromEntries(writes.map(({ name, elem }) => [name, elem])),
    params: Object.fromEntries(params.map((name) => [name, name in parsed.attrs ? "f32" : "u32"] as const)),
    workgroup,
    helpers,
    code: body,
  }) as (args: object) => Readonly<Record<string, Tensor>>;
  return (buffers: Map<string, Tensor>, sizes: Sizes, attrs: Readonly<Record<string, number>>): void => {
    const numbers: Readonly<Record<string, number>> = { ...sizes.n, ...attrs };
    const made = define({
      inputs: Object.fromEntries(reads.map(({ name }) => [name, buffers.get(name)])),
      outputs: Object.fromEntries(writes.map(({ name, shape }) => [name, shapeOf(shape, sizes, attrs)])),
      ...(params.length > 0 ? { params: Object.fromEntries(params.map((name) => [name, numbers[name]])) } : {}),
      [by]: countOf(count, numbers),
    });
    for (const [name, tensor] of Object.entries(made)) buffers.set(name, tensor);
  };
}

/** Letters by the inputs' shapes. Throws where two of them disagree. */
function lettersOf({ name, inputs }: Parsed, shapes: readonly Shape[]): Sizes {
  let lead: readonly number[] = [];
  const n: Record<string, number> = {};
  inputs.forEach((input, i) => {
    const shape = shapes[i]!;
    const axes = input.axes.filter((axis) => axis !== "..");
    const leading = shape.length - axes.length;
    const fits = input.axes.includes("..") ? leading >= 0 : leading === 0;
    const agrees = axes.every((axis, k) => (/^\d/.test(axis) ? Number(axis) : (n[axis] ??= shape[leading + k]!)) === shape[leading + k]);
    if (!fits || !agrees) throw new Error(`${name}: expected ${input.name} ${input.shape}, got [${shape}]`);
    if (leading > 0) lead = shape.slice(0, leading);
  });
  return { lead, n: { ...n, rows: numel(lead) } };
}
