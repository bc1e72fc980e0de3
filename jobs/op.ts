/** `op`: one operation, forward and backward, on tensors from a file. */
import { gradients } from "../engine/autograd.ts";
import { scope } from "../engine/memory.ts";
import { readAll, Tensor } from "../engine/tensor.ts";
import { cast } from "../kernels/cast.ts";
import { checkDtype } from "./files/dtype.ts";
import { refusing, UsageError } from "./errors.ts";
import type { Host } from "./host.ts";
import { checkAttrs, checkVariant, opNamed } from "../checks/catalog.ts";
import type { Op } from "../checks/op.ts";
import { bytesOf, checkNames, floatsOf, labelsOf, readTensors, writeTensors, type TensorFile } from "./files/tensor-file.ts";

export interface OpArgs {
  readonly name: string;
  readonly in: string;
  readonly out: string;
  readonly attrs?: Readonly<Record<string, unknown>> | undefined;
  readonly backward?: boolean | undefined;
  readonly variant?: string | undefined;
  /** How floating tensors are stored; sums are f32 either way. Files stay F32. */
  readonly dtype?: "f32" | "f16" | undefined;
}

export interface OpResult {
  readonly op: string;
  readonly attrs: Readonly<Record<string, unknown>>;
  /** Shapes by name. */
  readonly outputs: Readonly<Record<string, readonly number[]>>;
}

export default async function opJob(host: Host, args: OpArgs): Promise<OpResult> {
  const { variant, backward = false, dtype = "f32" } = args;
  checkDtype(dtype);
  const { entry, attrs } = chosenOp(args);
  if (backward && Object.values(entry.inputs).every(({ bytes }) => bytes))
    throw new UsageError(`expected no --backward for ${args.name}, whose inputs are bytes`);
  const file = await readTensors(host, args.in);
  const names = Object.entries(entry.inputs);
  const required = names.filter(([, input]) => !input.optional).map(([name]) => name);
  // A file with dy serves without --backward too.
  checkNames(
    file,
    backward ? [...required, "dy"] : required,
    [...names.filter(([, input]) => input.optional).map(([name]) => name), ...(backward ? [] : ["dy"])],
    args.in,
  );

  const result = refusing(() =>
    scope(() => {
      const inputs = load(file, entry);
      const floating = Object.entries(inputs).filter(([name, t]) => t.dtype === "f32" && !entry.inputs[name]!.buffer);
      for (const [, t] of floating) t.requiresGrad = backward;
      const stored = Object.fromEntries(
        Object.entries(inputs).map(([name, t]) => [name, t.dtype === "f32" && !entry.inputs[name]!.buffer ? cast(t, dtype) : t]),
      );
      const made = entry.run(stored, attrs, variant);
      const outputs = Object.fromEntries(Object.entries(made).map(([name, t]) => [name, t.dtype === "f16" ? cast(t, "f32") : t]));
      if (!backward) return outputs;
      const { shape, data } = floatsOf(file, "dy");
      const found = gradients(
        outputs["y"]!,
        floating.map(([, t]) => t),
        Tensor.from(data, shape),
      );
      return { ...outputs, ...Object.fromEntries(floating.map(([name], i) => [`d${name}`, found[i]!])) };
    }),
  );

  const values = (await readAll(Object.values(result))) as (Float32Array | Uint8Array)[];
  const named = Object.entries(result).map(([name, { shape }], i) => [name, { shape, data: values[i]! }] as const);
  for (const t of Object.values(result)) t.dispose();
  await writeTensors(host, args.out, new Map(named));
  return { op: args.name, attrs, outputs: Object.fromEntries(named.map(([name, { shape }]) => [name, shape])) };
}

/** The operation and all its attributes, as asked for. */
export const chosenOp = ({
  name,
  attrs = {},
  variant,
}: Pick<OpArgs, "name" | "attrs" | "variant">): { entry: Op; attrs: Readonly<Record<string, unknown>> } =>
  refusing(() => {
    const entry = opNamed(name);
    checkVariant(entry, variant);
    return { entry, attrs: checkAttrs(entry, attrs) };
  });

function load(file: TensorFile, entry: Op): Record<string, Tensor> {
  const floats = new Map(
    Object.entries(entry.inputs).flatMap(([name, { classesOf, bytes }]) =>
      !classesOf && !bytes && file.has(name) ? [[name, floatsOf(file, name)]] : [],
    ),
  );
  return Object.fromEntries(
    Object.entries(entry.inputs)
      .filter(([name]) => file.has(name))
      .map(([name, { classesOf, bytes }]) => {
        if (bytes) {
          const { shape, data } = bytesOf(file, name);
          return [name, Tensor.from(data, shape, "u8")];
        }
        if (!classesOf) return [name, Tensor.from(floats.get(name)!.data, floats.get(name)!.shape)];
        const { shape } = floats.get(classesOf)!;
        return [name, Tensor.from(labelsOf(file, name, shape[0]!, shape.at(-1)!), [shape[0]!], "u32")];
      }),
  );
}
