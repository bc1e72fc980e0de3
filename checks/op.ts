/**
 * An operation's catalog entry: the verbs `op`, `doctor` and `tune`, the benchmark and the GPU run derive from it.
 * Each file of checks/cases exports the operations that it checks (`ops`) beside its cases; catalog.ts finds them.
 *
 * Shapes are written with letters, "[..,D]": `..` stands for any number of leading axes, an axis may be a sum of products
 * ("C/groups", "3*H*D") of letters, numbers and attributes. A problem gives the letters' values in their order of appearance: "788x192".
 */
import { z } from "zod";
import { numel, type Shape } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";
import type { Needs } from "./problem.ts";

export interface Input {
  readonly shape: string;
  readonly optional?: boolean;
  /** Class numbers (I64 or I32) along the last axis of the input named here. */
  readonly classesOf?: string;
  /** U8. Everything else is F32. */
  readonly bytes?: boolean;
  /** Read, but no gradient flows to it: running statistics. */
  readonly buffer?: boolean;
  /** Rows of it are probabilities: timed with smoothed labels, and without a gradient. */
  readonly probabilities?: boolean;
}

export interface Attr<T = unknown> {
  readonly schema: z.ZodType<T>;
  /** What a value must be, as text. */
  readonly says: string;
  /** The default; without one the attribute must be given. */
  readonly fallback?: { readonly value: T; readonly says: string };
}

/** Leading axes as a list, the others by letter; `rows` is the product of the leading ones. */
export interface Sizes {
  readonly lead: readonly number[];
  readonly n: Readonly<Record<string, number>>;
}

/** A size worth timing. */
export interface Timed<A = Readonly<Record<string, unknown>>> {
  /** In the letters' order, "788x192". */
  readonly sizes: string;
  readonly attrs?: Partial<A>;
  /** On which kind of adapter; both unless given. */
  readonly on?: "gpu" | "software";
  /** Part of `bench --quick` and `bench:check`. */
  readonly quick?: boolean;
}

/** Values by input. */
type Named<I extends string, T> = Readonly<Record<I, T>>;

interface Facts<I extends string, A, V extends string> {
  readonly inputs: Named<I, string | Input>;
  /** `y` and its shape first, then further outputs and remarks. */
  readonly outputs: string;
  readonly attrs?: { readonly [K in keyof A]: Attr<A[K]> };
  /** Names of kernels that --variant can force. */
  readonly variants?: readonly V[];
  run(inputs: Named<I, Tensor>, attrs: A, variant: V | undefined): Tensor | Readonly<Record<string, Tensor>>;
  /** y in f64; gradients are judged by differences of it. */
  reference?(inputs: Named<I, Float64Array>, shapes: Named<I, Shape>, attrs: A): ArrayLike<number>;
  /** Optional inputs that are given when it is timed. */
  readonly timedWith?: readonly NoInfer<I>[];
  readonly timed: readonly Timed<NoInfer<A>>[];
  /** Order of letters in a problem, if not that of first appearance. */
  readonly order?: readonly string[];
  /** Letters that follow from others: what is left out of a problem, or the result's own. */
  derived?(n: Readonly<Record<string, number>>, attrs: A): Readonly<Record<string, number>>;
  /** Attributes that follow from the sizes. */
  attrsOf?(n: Readonly<Record<string, number>>): Partial<NoInfer<A>>;
  /** Multiply-adds of the forward (`rows`: the product of the leading axes); omitted for operations bound by memory. */
  macs?(n: Readonly<Record<string, number>>, attrs: A): number;
  /** A problem's name in the benchmark; its sizes unless given. */
  label?(n: Readonly<Record<string, number>>, attrs: A): string;
  /** Whether its kernels look for a tuned choice (kernels/shared/tuning.ts) by its own name: one for both passes, or one for each. */
  readonly tuned?: "both" | "apart";
  /** Requirements of a variant for these sizes; null if it cannot run them. */
  needs?(variant: V, n: Readonly<Record<string, number>>): Needs | null;
}

/** An operation as the catalog has it. */
export interface Op {
  readonly name: string;
  readonly inputs: Readonly<Record<string, Input>>;
  readonly outputs: string;
  readonly attrs: Readonly<Record<string, Attr>>;
  readonly variants: readonly string[];
  readonly tuned: "both" | "apart" | null;
  readonly timed: readonly Timed[];
  /** Letters of a problem, in order. */
  readonly letters: readonly string[];
  /** `y` first, further outputs after it. */
  run(
    inputs: Readonly<Record<string, Tensor>>,
    attrs: Readonly<Record<string, unknown>>,
    variant: string | undefined,
  ): Readonly<Record<string, Tensor>>;
  readonly reference: Facts<string, Readonly<Record<string, unknown>>, string>["reference"] | null;
  needs(variant: string, n: Sizes["n"]): Needs | null;
  problem(sizes: string, attrs?: Readonly<Record<string, unknown>>): Sized;
}

/** An operation on one shape. */
export interface Sized {
  /** Stable: results are published under it. */
  readonly name: string;
  readonly n: Sizes["n"];
  readonly attrs: Readonly<Record<string, unknown>>;
  /** In order; without those that are optional and not timed. */
  readonly inputs: Readonly<Record<string, Shape>>;
  readonly y: Shape;
  /** Multiply-adds count two; 0 where memory bounds it. */
  readonly flops: number;
  /** Of inputs and results of the forward, and of the backward; each once. */
  readonly bytes: number;
  readonly bytesBackward: number;
}

/** Declares an operation. Types of `run` and `reference` follow from the inputs, attributes and variants. */
export function op<const I extends string, A = Record<never, never>, const V extends string = never>(
  name: string,
  facts: Facts<I, A, V>,
): Op {
  const f = facts as unknown as Facts<string, Readonly<Record<string, unknown>>, string>;
  const inputs: Readonly<Record<string, Input>> = Object.fromEntries(
    Object.entries(f.inputs).map(([name, input]) => [name, typeof input === "string" ? { shape: input } : input]),
  );
  const attrs = (f.attrs ?? {}) as Readonly<Record<string, Attr>>;
  const usual = { ...required(attrs, f.timed[0]?.attrs), ...defaults(attrs) };
  const derivedLetters = new Set(Object.keys(f.derived?.({}, usual) ?? {}));
  const letters =
    f.order ??
    [...new Set(Object.values(inputs).flatMap(({ shape }) => lettersOf(shape)))].filter((l) => !(l in attrs) && !derivedLetters.has(l));
  return {
    name,
    inputs,
    outputs: f.outputs,
    attrs,
    variants: f.variants ?? [],
    tuned: f.tuned ?? null,
    timed: f.timed,
    letters,
    run(given, values, variant) {
      const y = f.run(given, values, variant);
      return "storage" in y ? { y: y as Tensor } : (y as Readonly<Record<string, Tensor>>);
    },
    reference: f.reference ?? null,
    needs: (variant, n) => (f.needs ? f.needs(variant, n) : {}),
    problem(text, given = {}) {
      const { lead, n: stated } = sizesOf(name, letters, text);
      const values = { ...usual, ...f.attrsOf?.(stated), ...given };
      const n = { ...stated, ...f.derived?.(stated, values) };
      const used = Object.entries(inputs).filter(([key, input]) => (!input.optional || f.timedWith?.includes(key)) && !input.classesOf);
      const shapes = used.map(([key, input]) => [key, shapeOf(input.shape, { lead, n }, values), input] as const);
      const y = shapeOf(f.outputs, { lead, n }, values);
      const bytes = (which: typeof shapes) => which.reduce((sum, [, shape, input]) => sum + numel(shape) * (input.bytes ? 1 : 4), 0);
      const moved = shapes.filter(([, , input]) => !input.buffer);
      const kept = moved.filter(([, , input]) => input.probabilities);
      const into = bytes(moved.filter(([, , input]) => !input.probabilities));
      const out = numel(y) * (Object.values(inputs).every((input) => input.bytes) ? 1 : 4);
      return {
        name: `${name} ${f.label?.(n, values) ?? text}`,
        n,
        attrs: values,
        inputs: Object.fromEntries(shapes),
        y,
        flops: 2 * (f.macs?.(n, values) ?? 0),
        bytes: into + bytes(kept) + out,
        bytesBackward: out + 2 * into + bytes(kept),
      };
    },
  };
}

/** Inputs that have a gradient. */
export const differentiable = ({ inputs }: Op): string[] =>
  Object.entries(inputs).flatMap(([name, { bytes, buffer, classesOf, probabilities }]) =>
    bytes || buffer || classesOf || probabilities ? [] : [name],
  );

const defaults = (attrs: Readonly<Record<string, Attr>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(attrs).flatMap(([name, { fallback }]) => (fallback ? [[name, fallback.value]] : [])));

/** Those that have no default, as the first timed size has them. */
const required = (attrs: Readonly<Record<string, Attr>>, given: Readonly<Record<string, unknown>> = {}): Record<string, unknown> =>
  Object.fromEntries(Object.entries(given).filter(([name]) => !attrs[name]?.fallback));

/** Axes of "[..,D] and what follows". */
const axesOf = (shape: string): string[] => /^[^[]*\[([^\]]*)\]/.exec(shape)![1]!.split(",").filter(Boolean);
const lettersOf = (shape: string): string[] => axesOf(shape).flatMap((axis) => axis.split(/[*/+]/).filter((part) => !/^\d+$/.test(part)));

function sizesOf(name: string, letters: readonly string[], text: string): Sizes {
  const numbers = text.split("x").map(Number);
  const rest = letters.filter((l) => l !== "..");
  const leads = numbers.length - rest.length;
  if (leads < 0 || (leads > 0 && !letters.includes("..")) || !numbers.every((v) => Number.isInteger(v) && v > 0))
    throw new Error(`${name}: expected sizes ${letters.join("x")}, got ${text}`);
  const lead = numbers.slice(0, leads);
  return { lead, n: { rows: numel(lead), ...Object.fromEntries(rest.map((l, i) => [l, numbers[leads + i]!])) } };
}

/** The shape that "[..,D]" stands for. */
export function shapeOf(text: string, { lead, n }: Sizes, attrs: Readonly<Record<string, unknown>>): Shape {
  const value = (part: string): number => (/^\d+$/.test(part) ? Number(part) : (n[part] ?? Number(attrs[part])));
  const product = (term: string) =>
    term.split("*").reduce((all, factor) => {
      const [over, by] = factor.split("/");
      return (all * value(over!)) / (by ? value(by) : 1);
    }, 1);
  return axesOf(text).flatMap((axis) => (axis === ".." ? lead : [axis.split("+").reduce((sum, term) => sum + product(term), 0)]));
}

/** An attribute: its schema, what a value must be in words, and its default. */
export const attr = <T>(schema: z.ZodType<T>, says: string, ...fallback: [] | [value: T, says?: string]): Attr<T> =>
  fallback.length === 0
    ? { schema, says }
    : { schema, says, fallback: { value: fallback[0], says: fallback[1] ?? JSON.stringify(fallback[0]) } };

export const flag = attr(z.boolean(), "true or false", false);
export const positive = (fallback: number): Attr<number> => attr(z.number().positive(), "a positive number", fallback);
export const fraction = (...fallback: [] | [number]): Attr<number> => attr(z.number().min(0).max(1), "a number in [0, 1]", ...fallback);
export const count = (...fallback: [] | [number]): Attr<number> => attr(z.int().positive(), "a positive integer", ...fallback);
export const choice = <const T extends string>(values: readonly [T, ...T[]]): Attr<T> =>
  attr(z.enum(values) as unknown as z.ZodType<T>, values.map((v) => `"${v}"`).join(" or "), values[0]);

export const optional = (shape: string): Input => ({ shape, optional: true });
export const buffer = (shape: string): Input => ({ shape, buffer: true });
