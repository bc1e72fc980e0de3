/**
 * An operation of the catalog on one shape, as the tuner and the fuzzer pose it: "layerNorm 788x192", "attention 1x3x198x198x64 fwd+bwd".
 *
 * y is held to the f64 reference element by element. The gradients of the first kernel are held, along one random direction through all
 * inputs, to a difference of the reference; those of every other kernel to the first one's, element by element.
 */
import { gradients } from "../engine/autograd.ts";
import { numel } from "../engine/shape.ts";
import { Tensor } from "../engine/tensor.ts";
import { close, dot, uniform } from "./check.ts";
import { differentiable, type Op, type Sized } from "./op.ts";
import { DEFAULT, farOff, type Problem } from "./problem.ts";

/** Relative to the largest expected value; for the direction, to the gradient's norm. */
const TOLERANCE = 1e-4;
const STEP = 1e-5;

/** The problem of a question, or null if the question is another operation's. */
export function opProblem(op: Op, question: string): Problem | null {
  const match = /^(\w+) (\d+(?:x\d+)*)( fwd\+bwd)?$/.exec(question);
  if (match?.[1] !== op.name) return null;
  const sized = op.problem(match[2]!);
  const backward = op.tuned !== "apart" || match[3] !== undefined;
  const values = valuesOf(op, sized);
  const tensors = Object.fromEntries(
    Object.entries(values).map(([name, data]) => [name, Tensor.from(data, sized.inputs[name]!, op.inputs[name]!.bytes ? "u8" : "f32")]),
  );
  const wanted = backward ? differentiable(op).filter((name) => name in tensors) : [];
  const dyValues = uniform(numel(sized.y), 100);
  const dy = Tensor.from(dyValues, sized.y);
  for (const name of wanted) tensors[name]!.requiresGrad = true;
  const run = (variant?: string) => () => {
    const y = op.run(tensors, sized.attrs, variant)["y"]!;
    return wanted.length > 0
      ? [
          y,
          ...gradients(
            y,
            wanted.map((name) => tensors[name]!),
            dy,
          ),
        ]
      : [y];
  };
  const variants =
    op.tuned === null
      ? []
      : op.variants.flatMap((name) => {
          const needs = op.needs(name, sized.n);
          return needs ? [{ name, needs, run: run(name) }] : [];
        });
  return {
    question,
    flops: backward ? 3 * sized.flops : sized.flops,
    candidates: [{ name: DEFAULT, needs: {}, run: run() }, ...variants],
    fault: judge(op, sized, values, wanted, dyValues),
    dispose() {
      for (const t of [...Object.values(tensors), dy]) t.dispose();
    },
  };
}

/** Seeded inputs in [-1, 1); bytes are whole, running statistics positive, rows of probabilities sum to one. */
export function valuesOf({ inputs }: Op, { inputs: shapes }: Pick<Sized, "inputs">): Record<string, Float64Array> {
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape], i) => {
      const { bytes, buffer, probabilities } = inputs[name]!;
      const values = uniform(numel(shape), i + 1);
      if (probabilities) return [name, smoothed(values.length, shape.at(-1)!)];
      return [name, bytes ? values.map((v) => Math.floor(128 * (v + 1))) : buffer ? values.map((v) => 1.5 + v) : values];
    }),
  );
}

/** Labels 0, 1, 2, … as probabilities, smoothed by a tenth. */
const smoothed = (n: number, K: number): Float64Array =>
  Float64Array.from({ length: n }, (_, i) => 0.1 / K + (i % K === Math.floor(i / K) % K ? 0.9 : 0));

function judge(
  op: Op,
  { inputs, attrs }: Sized,
  values: Record<string, Float64Array>,
  wanted: readonly string[],
  dy: Float64Array,
): Problem["fault"] {
  if (!op.reference) throw new Error(`${op.name}: expected a reference to judge by, got none`);
  const reference = (t: Record<string, Float64Array>) => Float64Array.from(op.reference!(t, inputs, attrs));
  let expected: Float64Array | undefined;
  let right: readonly Float32Array[] | undefined;
  return ([y, ...grads]) => {
    expected ??= reference(values);
    const wrong = farOff("y", y, expected, TOLERANCE);
    if (wrong) return wrong;
    if (right) return grads.map((g, i) => farOff(`gradient of ${wanted[i]}`, g, right![i]!, TOLERANCE)).find((f) => f !== null) ?? null;
    const fault = wanted.length > 0 ? alongDirection(reference, values, wanted, grads, dy) : null;
    if (!fault) right = grads;
    return fault;
  };
}

/** <gradient, v> against d/dt <reference(x + t v), dy>, with v through all inputs at once. */
function alongDirection(
  reference: (t: Record<string, Float64Array>) => Float64Array,
  values: Record<string, Float64Array>,
  wanted: readonly string[],
  grads: readonly Float32Array[],
  dy: Float64Array,
): string | null {
  const v = wanted.map((name, i) => uniform(values[name]!.length, 200 + i));
  const L = (t: number) =>
    dot(
      reference({ ...values, ...Object.fromEntries(wanted.map((name, i) => [name, values[name]!.map((x, e) => x + t * v[i]![e]!)])) }),
      dy,
    );
  const norm = Math.sqrt(grads.reduce((sum, g) => sum + dot(g, g), 0));
  const got = grads.reduce((sum, g, i) => sum + dot(g, v[i]!), 0);
  try {
    close(`gradients of ${wanted.join(", ")}, along a direction`, got, (L(STEP) - L(-STEP)) / (2 * STEP), TOLERANCE * (1 + norm));
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
