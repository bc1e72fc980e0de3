/** A new operation as the two files that the guide would have one write: kernels/NAME.ts and checks/cases/NAME.ts. */
import { type Draft, listOf, paramsOf, parse, type Buffer, type Named, type Parsed, type ParsedKernel } from "./draft-text.ts";

export interface SourceFile {
  /** From the repository's root. */
  readonly path: string;
  readonly text: string;
}

/** Throws where the draft has no backward: an operation does not type-check without. */
export function draftFiles(draft: Draft): readonly [kernel: SourceFile, cases: SourceFile] {
  const parsed = parse(draft);
  if (!parsed.kernels.some(({ pass }) => pass === "backward")) throw new Error("kernels: expected a backward to make a file, got none");
  const file = parsed.name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
  return [
    { path: `kernels/${file}.ts`, text: kernelFile(draft, parsed) },
    { path: `checks/cases/${file}.ts`, text: casesFile(draft, parsed, file) },
  ];
}

const object = (parts: readonly string[]): string => (parts.length > 0 ? `{ ${parts.join(", ")} }` : "{}");
const names = (list: readonly Named[]): string[] => list.map(({ name }) => name);
const uses = (text: string, name: string): boolean => new RegExp(`(?<!\\w|[^.]\\.)${name}\\b`).test(text);
const indented = (text: string, by: string): string => {
  const lines = text.replace(/^\n+|\s+$/g, "").split("\n");
  const least = Math.min(...lines.filter((line) => line.trim()).map((line) => line.search(/\S/)));
  return lines.map((line) => (line.trim() ? by + line.slice(least).trimEnd() : "")).join("\n");
};

function kernelFile(draft: Draft, parsed: Parsed): string {
  const { name, inputs, output, kernels, attrs } = parsed;
  const [forward, backward] = (["forward", "backward"] as const).map((pass) => kernels.filter((kernel) => kernel.pass === pass));
  const saved = [...new Set(forward!.flatMap(({ writes }) => names(writes)))].filter((buffer) =>
    backward!.some(({ reads }) => names(reads).includes(buffer)),
  );
  const numbers = Object.keys(attrs);
  const calls = { forward: forward!.map((k) => call(parsed, k)).join("\n"), backward: backward!.map((k) => call(parsed, k)).join("\n") };
  const given = (text: string) => numbers.filter((number) => uses(text, number));
  const letters = (text: string) => ["lead", "rows", ...parsed.letters].filter((letter) => uses(text, letter));
  const sizes = (text: string) =>
    letters(text).length > 0 ? `\n    const ${object(letters(text))} = sizesOf(${names(inputs).join(", ")});` : "";
  const all = letters(`${calls.forward}\n${calls.backward}`);
  const attrsType = numbers.length > 0 ? `: { ${numbers.map((number) => `${number}: number`).join("; ")} }` : ": null";
  const shapes = inputs.map(({ name, shape }) => `${name} ${shape}`).join(", ");
  const arguments_ = inputs.map((input) => `${input.name}: Tensor`).join(", ");
  return `/** ${draft.formula.trim() || name} */
import { defineOp } from "../engine/autograd.ts";
import { defineKernel } from "../engine/kernel.ts";
import { ${all.includes("rows") ? "numel, " : ""}sameShape, show } from "../engine/shape.ts";
import type { Tensor } from "../engine/tensor.ts";

${kernels.map((kernel) => definition(parsed, kernel)).join("\n\n")}

/** Throws where the shapes are not ${shapes}. */
function sizesOf(${arguments_}) {
${reading(parsed, all)}
  if (${inputs.map(({ name, axes }) => `!sameShape(${name}.shape, ${shapeText(axes)})`).join(" || ")}) {
${fitting("    throw new Error(", `\`${name}: expected ${shapes}, got ${inputs.map(({ name }) => `\${show(${name}.shape)}`).join(", ")}\``, ");")}
  }
  return ${object(all.map((letter) => (letter === "rows" ? "rows: numel(lead)" : letter)))};
}

const op = defineOp({
  name: "${name}",
  forward([${names(inputs).join(", ")}]: [${inputs.map(() => "Tensor").join(", ")}], ${numbers.length > 0 ? object(given(calls.forward)) : "_"}${attrsType}) {${sizes(calls.forward) || `\n    sizesOf(${names(inputs).join(", ")});`}
${calls.forward}
    return { ${output.name === "y" ? "y" : `y: ${output.name}`}, saved: ${saved.length > 0 ? object(saved) : "null"} };
  },
  backward(dy, ${saved.length > 0 ? object(saved) : "_"}, [${names(inputs).join(", ")}]${given(calls.backward).length > 0 ? `, ${object(given(calls.backward))}` : ""}) {${sizes(calls.backward)}
${calls.backward}
    return [${inputs.map(({ name }) => `d${name}`).join(", ")}];
  },
});

/** ${shapes}. Returns ${output.shape}. */
${exported(`export const ${name} = (${arguments_}${numbers.length > 0 ? `, ${object(Object.entries(attrs).map(([number, value]) => `${number} = ${short(value)}`))} = {}` : ""}): Tensor =>`, `op([${names(inputs).join(", ")}], ${numbers.length > 0 ? object(numbers) : "null"});`)}
`;
}

/** The formatter's width: what does not fit goes on in a line of its own. */
const WIDTH = 140;
const exported = (left: string, right: string): string =>
  left.length + 1 + right.length <= WIDTH ? `${left} ${right}` : `${left}\n  ${right}`;
const fitting = (left: string, middle: string, right: string): string =>
  left.length + middle.length + right.length <= WIDTH ? left + middle + right : `${left}\n      ${middle},\n    ${right}`;
const short = (value: number): string =>
  [String(value), value.toExponential().replace("e+", "e")].reduce((a, b) => (b.length < a.length ? b : a));

const constant = ({ label }: ParsedKernel): string => {
  const [, pass, what = ""] = label.split(".");
  return `${pass}${what.charAt(0).toUpperCase()}${what.slice(1)}Kernel`;
};

function definition(parsed: Parsed, kernel: ParsedKernel): string {
  const { label, workgroup, reads, writes, helpers, body } = kernel;
  const buffers = (list: readonly Buffer[]) => object(list.map(({ name, elem }) => `${name}: "${elem}"`));
  const shapes = (list: readonly Buffer[]) => list.map(({ shape }) => shape).join(", ");
  const params = paramsOf(parsed, kernel).map((name) => `${name}: "${name in parsed.attrs ? "f32" : "u32"}"`);
  const wgsl = (text: string) => `/* wgsl */ \`\n${indented(text.replace(/[`\\]|\$\{/g, "\\$&"), "    ")}\``;
  return [
    `const ${constant(kernel)} = defineKernel({`,
    `  name: "${label}",`,
    `  inputs: ${buffers(reads)}, // ${shapes(reads)}`,
    `  outputs: ${buffers(writes)}, // ${shapes(writes)}`,
    ...(params.length > 0 ? [`  params: ${object(params)},`] : []),
    `  workgroup: ${workgroup},`,
    ...(helpers.trim() ? [`  helpers: ${wgsl(helpers)},`] : []),
    `  code: ${wgsl(body)},`,
    "});",
  ].join("\n");
}

function call(parsed: Parsed, kernel: ParsedKernel): string {
  const { reads, writes, by, count } = kernel;
  const like = (shape: string) => parsed.inputs.find((input) => input.shape === shape)?.name;
  const params = paramsOf(parsed, kernel);
  const args = [
    `inputs: ${object(names(reads))}`,
    `outputs: ${object(writes.map(({ name, shape, axes }) => `${name}: ${like(shape) ?? shapeText(axes)}`))}`,
    ...(params.length > 0 ? [`params: ${object(params)}`] : []),
    `${by}: ${countText(count)}`,
  ];
  const left = `    const ${object(names(writes))} = ${constant(kernel)}(`;
  const line = `${left}${object(args)});`;
  return line.length <= WIDTH ? line : `${left}{\n${args.map((arg) => `      ${arg},\n`).join("")}    });`;
}

/** The letters from the shapes' ends, and the leading axes. */
function reading({ inputs }: Parsed, all: readonly string[]): string {
  const lines: string[] = [];
  const known = new Set<string>();
  for (const { name, axes } of inputs)
    axes.forEach((axis, i) => {
      if (known.has(axis) || /^\d/.test(axis)) return;
      known.add(axis);
      if (axis !== "..") lines.push(`  const ${axis} = ${name}.shape.at(${i - axes.length})!;`);
      else lines.push(`  const lead = ${axes.length > 1 ? `${name}.shape.slice(0, ${1 - axes.length})` : `${name}.shape`};`);
    });
  if (all.includes("rows") && !known.has("..")) lines.push("  const lead: readonly number[] = [];");
  return lines.join("\n");
}

const shapeText = (axes: readonly string[]): string =>
  axes.join() === ".." ? "lead" : `[${axes.map((axis) => (axis === ".." ? "...lead" : axis.replaceAll(/[*/+]/g, " $& "))).join(", ")}]`;

const countText = (text: string): string => {
  const spaced = text
    .replace(/\s+/g, "")
    .replace(/[*/+]/g, " $& ")
    .replace(/\bceil\(/g, "Math.$&");
  return text.includes("/") ? `Math.ceil(${spaced})` : spaced;
};

function casesFile(draft: Draft, parsed: Parsed, file: string): string {
  const { name, inputs, output, letters } = parsed;
  const attrs = Object.entries(parsed.attrs);
  const given = object(attrs.map(([key]) => key));
  const body = elementsPresent(indented(draft.reference, "    "));
  const rows = uses(body, "rows");
  const read = new Set<string>();
  const sizes = inputs.flatMap(({ name, axes }) =>
    axes.flatMap((axis, i) => {
      if (read.has(axis) || !letters.includes(axis) || !uses(body, axis)) return [];
      read.add(axis);
      return [`    const ${axis} = shapes.${name}.at(${i - axes.length})!;`];
    }),
  );
  const leading = inputs.find(({ axes }) => axes.includes(".."));
  if (rows)
    sizes.push(
      `    const rows = ${leading ? `numel(shapes.${leading.name}${leading.axes.length > 1 ? `.slice(0, ${1 - leading.axes.length})` : ""})` : "1"};`,
    );
  const usedAttrs = attrs.map(([key]) => key).filter((key) => uses(body, key));
  const takes = [
    object(names(inputs)),
    ...(sizes.length > 0 || usedAttrs.length > 0 ? ["shapes"] : []),
    ...(usedAttrs.length > 0 ? [object(usedAttrs)] : []),
  ];
  return `${rows && leading ? 'import { numel } from "../../engine/shape.ts";\n' : ""}import { ${name} } from "../../kernels/${file}.ts";
import { op${attrs.length > 0 ? ", positive" : ""} } from "../op.ts";
import { opCases } from "../op-cases.ts";

const facts = op("${name}", {
  inputs: ${object(inputs.map(({ name, shape }) => `${name}: "${shape}"`))},
  outputs: "${output.name} ${output.shape}",
${attrs.length > 0 ? `  attrs: ${object(attrs.map(([key, value]) => `${key}: positive(${short(value)})`))},\n` : ""}  timed: [{ sizes: "${draft.timed}" }],
  run: (${object(names(inputs))}${attrs.length > 0 ? `, ${given}` : ""}) => ${name}(${[...names(inputs), ...(attrs.length > 0 ? [given] : [])].join(", ")}),
  reference(${takes.join(", ")}) {
${[...sizes, body].join("\n")}
  },
});

export const ops = [facts];
export const cases = opCases(facts, ${object(listOf(draft.sizes).map((size) => `"${size}": "${size}"`))});
`;
}

/** Elements of arrays as strict TypeScript has them: `a[i]` is `a[i]!`. */
function elementsPresent(body: string): string {
  let text = "";
  const open: boolean[] = [];
  for (let i = 0; i < body.length; i++) {
    const char = body[i]!;
    text += char;
    if (char === "[") open.push(/[\w\])!]/.test(text.at(-2) ?? ""));
    else if (char === "]" && open.pop() && !/^\s*=(?!=)/.test(body.slice(i + 1))) text += "!";
  }
  return text;
}
