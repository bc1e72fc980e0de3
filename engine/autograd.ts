/** The tape: how a result was computed, and the gradients that follow from it. */
import { Ambient } from "./ambient.ts";
import { defineKernel, kernelFamily } from "./kernel.ts";
import { numel, sameShape, show } from "./shape.ts";
import type { Tensor } from "./tensor.ts";
import { watched } from "./watch.ts";

type Inputs = readonly (Tensor | null)[];
/** dL/dinput for each input, in order; `null` where no gradient can flow. */
type Gradients<I> = { readonly [K in keyof I]: Tensor | null };

interface OpSpec<I extends Inputs, A, S> {
  readonly name: string;
  /** Checks the inputs, launches, and returns the result and what the backward needs. `differentiable`: whether a backward may follow. */
  forward(inputs: I, attrs: A, differentiable: boolean): { readonly y: Tensor; readonly saved: S };
  /**
   * `needs` tells which gradients are wanted; others may be `null`. `partial`: the gradient already accumulated for input `partialOf`, or
   * null; the gradient returned for that input must include it.
   */
  backward(dy: Tensor, saved: S, inputs: I, attrs: A, needs: readonly boolean[], partial: Tensor | null): Gradients<I>;
  /** Index of an input (given once) to whose accumulated gradient the backward adds its own, which saves a launch. */
  readonly partialOf?: number;
}

const enabled = new Ambient(true);
let order = 0;

/** Makes a forward and its backward into one differentiable function. */
/* @__NO_SIDE_EFFECTS__ */
export function defineOp<const I extends Inputs, A, S>(spec: OpSpec<I, A, S>): (inputs: I, attrs: A) => Tensor {
  return (inputs, attrs) => {
    const needs = inputs.map((t) => t?.requiresGrad === true);
    const differentiable = enabled.now && needs.includes(true);
    const { y, saved } = watched({ op: spec.name, inputs }, () => spec.forward(inputs, attrs, differentiable));
    if (differentiable) {
      y.requiresGrad = true;
      y.node = { op: spec, order: order++, inputs, backward: (dy, partial) => spec.backward(dy, saved, inputs, attrs, needs, partial) };
    }
    return y;
  };
}

/** Whether a result computed from these inputs now would be differentiable. */
export const differentiable = (inputs: Inputs): boolean => enabled.now && inputs.some((t) => t?.requiresGrad === true);

/** Runs `body` without the tape: its results have no gradient. */
export const noGrad = <T>(body: () => T): T => enabled.during(false, body);

/**
 * dL/dt for each tensor of `wrt`, where L is `y` (one element) or, with `dy` of y's shape, sum(y * dy).
 * Gradients of a tensor with several uses are added in a fixed order. A tensor that `y` does not depend on gets zeros.
 */
export function gradients(y: Tensor, wrt: readonly Tensor[], dy?: Tensor): Tensor[] {
  if (!dy && y.size !== 1) throw new Error(`gradients: expected dy for a result of shape ${show(y.shape)}, got none`);
  if (dy && !sameShape(dy.shape, y.shape)) throw new Error(`gradients: expected dy of shape ${show(y.shape)}, got ${show(dy.shape)}`);
  if (!y.requiresGrad) throw new Error("gradients: expected a result that depends on a tensor with requiresGrad, got one that does not");
  return watched({ phase: "backward" }, () => backward(y, wrt, dy));
}

function backward(y: Tensor, wrt: readonly Tensor[], dy?: Tensor): Tensor[] {
  const found = new Map<Tensor, Tensor>([[y, dy ?? fill(y.shape, 1)]]);
  for (const t of reachable(y)) {
    const g = found.get(t);
    if (!g) continue;
    const { op, inputs } = t.node!;
    const into = op.partialOf === undefined ? null : inputs[op.partialOf]!;
    const partial = into?.requiresGrad ? (found.get(into) ?? null) : null;
    const grads = watched({ op: op.name, inputs }, () => t.node!.backward(g, partial));
    inputs.forEach((input, i) => {
      const grad = grads[i];
      if (!input?.requiresGrad || !grad) return;
      if (!sameShape(grad.shape, input.shape))
        throw new Error(`${op.name}: expected a gradient of shape ${show(input.shape)} for input ${i}, got ${show(grad.shape)}`);
      const other = i === op.partialOf ? undefined : found.get(input);
      found.set(input, other ? add(other, grad) : grad);
    });
  }
  return wrt.map((t) => found.get(t) ?? fill(t.shape, 0));
}

/** Every computed tensor that `y` depends on, each before its own inputs. */
function reachable(y: Tensor): Tensor[] {
  const seen = new Set<Tensor>();
  const stack = [y];
  for (let t = stack.pop(); t; t = stack.pop()) {
    if (seen.has(t) || !t.node) continue;
    seen.add(t);
    for (const input of t.node.inputs) if (input?.requiresGrad) stack.push(input);
  }
  return [...seen].sort((a, b) => b.node!.order - a.node!.order);
}

// One thread per T, four elements where n allows.
const addKernel = kernelFamily(({ T }: { readonly T: "f32" | "vec4f" }) =>
  defineKernel({
    name: "gradients.add",
    inputs: { a: T, b: T },
    outputs: { y: T },
    params: { n: "u32" },
    workgroup: 64,
    code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) { y[i] = a[i] + b[i]; }`,
  }),
);

const fillKernel = defineKernel({
  name: "gradients.fill",
  outputs: { y: "f32" },
  params: { n: "u32", value: "f32" },
  workgroup: 64,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) { y[i] = p.value; }`,
});

function add(a: Tensor, b: Tensor): Tensor {
  const [T, n] = a.size % 4 === 0 ? (["vec4f", a.size / 4] as const) : (["f32", a.size] as const);
  return addKernel({ T })({ inputs: { a, b }, outputs: { y: a }, params: { n }, threads: n }).y;
}

const fill = (shape: readonly number[], value: number): Tensor =>
  fillKernel({ outputs: { y: shape }, params: { n: numel(shape), value }, threads: numel(shape) }).y;
