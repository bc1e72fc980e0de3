/** Reads what is typed for a new operation. Every error says what was expected and what came. */
export interface DraftKernel {
  readonly pass: "forward" | "backward";
  /** Buffers by name: inputs, what kernels before it wrote, and dy in a backward: "x, weight". */
  readonly reads: string;
  /** Buffers by name. What is neither y nor an input's gradient has a shape: "y, scale [..]". */
  readonly writes: string;
  /** Whether `count` is of threads, in whole workgroups, or of workgroups. */
  readonly by: "threads" | "groups";
  /** A sum of products of letters, "rows*D/4", "ceil(M/16)*ceil(N/16)". */
  readonly count: string;
  readonly workgroup: number;
  /** WGSL functions and workgroup memory. */
  readonly helpers: string;
  readonly body: string;
}

export interface Draft {
  readonly name: string;
  /** The formula, as the file's first line has it. */
  readonly formula: string;
  /** "x [..,D], weight [D]" */
  readonly inputs: string;
  /** "y [..,D]" */
  readonly output: string;
  /** Positive numbers with their defaults: "eps = 1e-6". */
  readonly attrs: string;
  /** The forward first. Without a backward, values alone are checked. */
  readonly kernels: readonly DraftKernel[];
  /** Statements of a JavaScript function of the inputs (Float64Array) and of { rows, letters, attributes }; returns y's values. */
  readonly reference: string;
  /** Sizes to check, "1x5, 3x7x100", and the one to time. */
  readonly sizes: string;
  readonly timed: string;
}

export type Elem = "f32" | "vec2f" | "vec4f";

export interface Named {
  readonly name: string;
  /** "[..,D]" */
  readonly shape: string;
  readonly axes: readonly string[];
}

export interface Buffer extends Named {
  readonly elem: Elem;
}

export interface ParsedKernel extends Omit<DraftKernel, "reads" | "writes"> {
  /** "rmsNorm.forward"; of several in a pass, by what they write: "rmsNorm.backward.dx". */
  readonly label: string;
  readonly reads: readonly Buffer[];
  readonly writes: readonly Buffer[];
}

export interface Parsed {
  readonly name: string;
  readonly inputs: readonly Named[];
  readonly output: Named;
  /** Defaults by name. */
  readonly attrs: Readonly<Record<string, number>>;
  /** Letters of the inputs' shapes. */
  readonly letters: readonly string[];
  readonly kernels: readonly ParsedKernel[];
}

const NAME = /^[a-z][A-Za-z0-9]*$/;

/** Parts between commas that are not inside of brackets. */
export const listOf = (text: string): string[] =>
  text
    .split(/,(?![^[]*\])/)
    .map((part) => part.trim())
    .filter(Boolean);

/** A draft of its JSON; what is missing or of another type is empty. */
export function draftIn(json: string): Draft {
  const object = (value: unknown) => (typeof value === "object" && value ? value : {}) as Readonly<Record<string, unknown>>;
  const given = object(JSON.parse(json));
  const text = (from: Readonly<Record<string, unknown>>, key: string) => (typeof from[key] === "string" ? from[key] : "");
  const texts = <const K extends string>(from: Readonly<Record<string, unknown>>, keys: readonly K[]) =>
    Object.fromEntries(keys.map((key) => [key, text(from, key)])) as Record<K, string>;
  const kernels = Array.isArray(given["kernels"]) ? given["kernels"].map(object) : [];
  return {
    ...texts(given, ["name", "formula", "inputs", "output", "attrs", "reference", "sizes", "timed"]),
    kernels: kernels.map((kernel) => ({
      ...texts(kernel, ["reads", "writes", "count", "helpers", "body"]),
      pass: kernel["pass"] === "backward" ? "backward" : "forward",
      by: kernel["by"] === "groups" ? "groups" : "threads",
      workgroup: typeof kernel["workgroup"] === "number" ? kernel["workgroup"] : 64,
    })),
  };
}

/** Throws, saying what was expected, where something is missing or does not fit. */
export function parse(draft: Draft): Parsed {
  const { name } = draft;
  if (!NAME.test(name)) throw new Error(`name: expected a name such as rmsNorm, got "${name}"`);
  const inputs = listOf(draft.inputs).map((text) => named("inputs", text));
  if (inputs.length === 0) throw new Error('inputs: expected buffers with their shapes, such as "x [..,D]", got none');
  for (const { name, axes } of inputs)
    for (const axis of axes)
      if (!/^(\.\.|[A-Za-z]\w*|\d+)$/.test(axis)) throw new Error(`inputs: expected letters as axes of ${name}, got "${axis}"`);
  const output = named("output", draft.output);
  const attrs = Object.fromEntries(listOf(draft.attrs).map(attribute));
  const letters = [...new Set(inputs.flatMap(({ axes }) => axes))].filter((axis) => /^[A-Za-z]/.test(axis));
  if (listOf(draft.sizes).length === 0) throw new Error('sizes: expected sizes to check, such as "1x5, 3x7x100", got none');
  const seen = new Map<string, Named>(inputs.map((input) => [input.name, input]));
  const gradients = new Map(inputs.map(({ name, ...like }) => [`d${name}`, like]));
  const parsed = { name, inputs, output, attrs, letters };
  const kernels = draft.kernels.map((kernel, i): ParsedKernel => {
    const where = `kernel ${i + 1}`;
    if (kernel.pass === "backward") seen.set("dy", { ...output, name: "dy" });
    const reads = listOf(kernel.reads).map((text): Buffer => {
      const [name, elem] = typed(where, text);
      const known = seen.get(name);
      if (!known) throw new Error(`${where}: expected to read one of ${[...seen.keys()].join(", ")}, got "${name}"`);
      return { ...known, name, elem };
    });
    const writes = listOf(kernel.writes).map((text): Buffer => {
      const [, left, shape] = /^([^[]*?)\s*(\[.*\])?$/.exec(text)!;
      const [name, elem] = typed(where, left!);
      const like = name === output.name ? output : gradients.get(name);
      if (!like && !shape) throw new Error(`${where}: expected the shape of ${name}, such as "${name} [..]", got none`);
      return { ...(like ?? named(where, `${name} ${shape}`)), name, elem };
    });
    if (writes.length === 0) throw new Error(`${where}: expected buffers that it writes, got none`);
    for (const written of writes) seen.set(written.name, written);
    countOf(kernel.count, Object.fromEntries([...letters, "rows"].map((letter) => [letter, 1])), where);
    const several = draft.kernels.filter(({ pass }) => pass === kernel.pass).length > 1;
    const label = `${name}.${kernel.pass}${several ? `.${writes[0]!.name}` : ""}`;
    const whole = { ...kernel, label, reads, writes };
    paramsOf(parsed, whole);
    return whole;
  });
  const order = kernels.map(({ pass }) => pass);
  if (order.lastIndexOf("forward") > order.indexOf("backward") && order.includes("backward"))
    throw new Error("kernels: expected those of the forward before those of the backward, got another order");
  if (!kernels.some(({ pass, writes }) => pass === "forward" && writes.some((b) => b.name === output.name)))
    throw new Error(`kernels: expected one of the forward that writes ${output.name}, got none`);
  const missing = [...gradients.keys()].filter((name) => !kernels.some(({ writes }) => writes.some((b) => b.name === name)));
  if (order.includes("backward") && missing.length > 0)
    throw new Error(
      `kernels: expected a backward that writes ${[...gradients.keys()].join(", ")}, got none that writes ${missing.join(", ")}`,
    );
  return { ...parsed, kernels };
}

/** What a kernel reads as `p.name`, in order of appearance. */
export function paramsOf(
  { attrs, letters }: Pick<Parsed, "attrs" | "letters">,
  { label, body, helpers }: Pick<ParsedKernel, "label" | "body" | "helpers">,
): string[] {
  const names = [...new Set([...`${helpers}\n${body}`.matchAll(/\bp\.(\w+)/g)].map(([, name]) => name!))];
  const known = ["rows", ...letters, ...Object.keys(attrs)];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`${label}: expected p.${known.join(", p.")}, got p.${unknown}`);
  return names;
}

/** The value of a sum of products, "rows*D/4 + 1", rounded up. */
export function countOf(text: string, numbers: Readonly<Record<string, number>>, where = "count"): number {
  const value = (word: string): number => {
    const found = /^\d+$/.test(word) ? Number(word) : numbers[word];
    if (found === undefined)
      throw new Error(`${where}: expected a count of ${Object.keys(numbers).join(", ")} and numbers, such as "rows*4", got "${text}"`);
    return found;
  };
  const product = (term: string): number =>
    term
      .trim()
      .split(/(?=[*/])/)
      .reduce((all, part) => (part.startsWith("/") ? all / value(part.slice(1).trim()) : all * value(part.replace("*", "").trim())), 1);
  const whole = text.replace(/\bceil\(\s*(\w+)\s*\/\s*(\w+)\s*\)/g, (_, a: string, b: string) => String(Math.ceil(value(a) / value(b))));
  return Math.ceil(whole.split("+").reduce((sum, term) => sum + product(term), 0));
}

/** "x [..,D]" */
export function named(where: string, text: string): Named {
  const [, name, axes] = /^([a-z][A-Za-z0-9]*)\s*\[([^\]]*)\]$/.exec(text.trim()) ?? [];
  if (name === undefined) throw new Error(`${where}: expected a name and a shape, such as "x [..,D]", got "${text}"`);
  return {
    name,
    shape: `[${axes}]`,
    axes: axes!
      .split(",")
      .map((axis) => axis.trim())
      .filter(Boolean),
  };
}

function attribute(text: string): [string, number] {
  const [, name, value] = /^([a-z][A-Za-z0-9]*)\s*=\s*(\S+)$/.exec(text) ?? [];
  if (name === undefined || !(Number(value) > 0))
    throw new Error(`attributes: expected positive numbers, such as "eps = 1e-6", got "${text}"`);
  return [name, Number(value)];
}

/** "x: vec4f" */
export function typed(where: string, text: string): [string, Elem] {
  const [, name, elem = "f32"] = /^([a-z][A-Za-z0-9]*)(?:\s*:\s*(f32|vec2f|vec4f))?$/.exec(text.trim()) ?? [];
  if (name === undefined)
    throw new Error(`${where}: expected names of buffers, with vec4f where they are read so ("x: vec4f"), got "${text}"`);
  return [name, elem as Elem];
}
