/** ONNX files as they are: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, those of its fields that our files have. Any other field is an error. */
import { BinaryReader } from "@bufbuild/protobuf/wire";

type Kind = "int" | "text" | "float" | "bytes" | Fields;
/** By number: name, kind, and whether there may be several. */
interface Fields {
  readonly [number: number]: readonly [name: string, kind: Kind, many?: boolean];
}

const dim: Fields = { 1: ["value", "int"], 2: ["param", "text"] };
const value: Fields = {
  1: ["name", "text"],
  2: ["type", { 1: ["tensor", { 1: ["elem", "int"], 2: ["shape", { 1: ["dim", dim, true] }] }] }],
};
const attribute: Fields = { 1: ["name", "text"], 2: ["f", "float"], 3: ["i", "int"], 8: ["ints", "int", true], 20: ["type", "int"] };
const tensor: Fields = { 1: ["dims", "int", true], 2: ["type", "int"], 8: ["name", "text"], 9: ["raw", "bytes"] };
const node: Fields = {
  1: ["input", "text", true],
  2: ["output", "text", true],
  3: ["name", "text"],
  4: ["op", "text"],
  5: ["attribute", attribute, true],
};
const graph: Fields = {
  1: ["node", node, true],
  2: ["name", "text"],
  5: ["initializer", tensor, true],
  11: ["input", value, true],
  12: ["output", value, true],
};
const model: Fields = {
  1: ["irVersion", "int"],
  2: ["producer", "text"],
  7: ["graph", graph],
  8: ["opset", { 1: ["domain", "text"], 2: ["version", "int"] }, true],
  14: ["metadata", { 1: ["key", "text"], 2: ["value", "text"] }, true],
};

function decode(bytes: Uint8Array, fields: Fields): Record<string, unknown> {
  const reader = new BinaryReader(bytes);
  const found: Record<string, unknown> = {};
  for (const [name, , many] of Object.values(fields)) if (many) found[name] = [];
  while (reader.pos < reader.len) {
    const [number] = reader.tag();
    const field = fields[number];
    if (!field) throw new Error(`expected a field of ${Object.keys(fields)}, got ${number}`);
    const [name, kind, many] = field;
    const one =
      kind === "int"
        ? Number(reader.int64())
        : kind === "text"
          ? reader.string()
          : kind === "float"
            ? reader.float()
            : kind === "bytes"
              ? reader.bytes()
              : decode(reader.bytes(), kind);
    if (many) (found[name] as unknown[]).push(one);
    else if (name in found) throw new Error(`expected one ${name}, got several`);
    else found[name] = one;
  }
  return found;
}

interface Value {
  readonly name: string;
  readonly type: { readonly tensor: { readonly elem: number; readonly shape: { readonly dim: { value?: number; param?: string }[] } } };
}

export interface Onnx {
  readonly irVersion: number;
  readonly producer: string;
  readonly opset: { readonly domain: string; readonly version: number }[];
  readonly metadata: { readonly key: string; readonly value: string }[];
  readonly graph: {
    readonly node: {
      readonly op: string;
      readonly input: string[];
      readonly output: string[];
      readonly attribute: Record<string, unknown>[];
    }[];
    readonly initializer: { readonly name: string; readonly type: number; readonly dims: number[]; readonly raw: Uint8Array }[];
    readonly input: Value[];
    readonly output: Value[];
  };
}

export const parseOnnx = (bytes: Uint8Array): Onnx => decode(bytes, model) as unknown as Onnx;

/** Name, element type and axes of an input or output. */
export const axesOf = ({ name, type: { tensor: t } }: Value): unknown[] => [name, t.elem, ...t.shape.dim.map((d) => d.value ?? d.param)];
