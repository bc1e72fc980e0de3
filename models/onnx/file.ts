/**
 * An ONNX file: a protobuf message whose weights stand inside of it. Written part by part, so that a large model is not held twice.
 *
 * Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */
import { message, type Message } from "./wire.ts";

/** LayerNormalization is in it since 17. Newer ones are known to fewer runtimes and have nothing that is needed here. */
export const OPSET = 17;
/** The format's version that came with that opset. */
const IR_VERSION = 8;

export const TYPES = { FLOAT: 1, INT64: 7, FLOAT16: 10 } as const;

export type Type = keyof typeof TYPES;

export type Attribute = number | readonly number[] | { readonly float: number };

export interface Node {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** A constant. `data` is asked for when the file is written, once each time. */
export interface Initializer {
  readonly name: string;
  readonly type: Type;
  readonly shape: readonly number[];
  readonly byteLength: number;
  data(): Uint8Array;
}

/** What goes in or comes out; f32. An axis by name has any size. */
export interface Value {
  readonly name: string;
  readonly shape: readonly (number | string)[];
}

export interface OnnxFile {
  readonly byteLength: number;
  /** The file in order. Nothing is kept between parts. */
  parts(): Generator<Uint8Array>;
}

export interface GraphParts {
  readonly nodes: readonly Node[];
  readonly initializers: readonly Initializer[];
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
}

/** What protobuf allows a message. */
const MOST_BYTES = 2 ** 31 - 1;

/** Throws where the file would be too large for one. */
export function onnxFile(graph: GraphParts, metadata: Readonly<Record<string, string>>): OnnxFile {
  const nodes = message();
  for (const node of graph.nodes) nodes.inner(1, (m) => writeNode(m, node));
  const first = nodes.text(2, "main").finish();

  const heads = graph.initializers.map(headOf);
  const values = message();
  for (const value of graph.inputs) values.inner(11, (m) => writeValue(m, value));
  for (const value of graph.outputs) values.inner(12, (m) => writeValue(m, value));
  const last = values.finish();
  const weights = graph.initializers.reduce((n, { byteLength }, i) => n + heads[i]!.length + byteLength, 0);
  const bytes = first.length + weights + last.length;
  if (bytes > MOST_BYTES - 2 ** 20)
    throw new Error(`onnx: expected a model of less than 2 GiB, the most that an ONNX file holds, got ${bytes} bytes`);

  const start = message().int(1, IR_VERSION).text(2, "tessera").announce(7, bytes).finish();
  const rest = message().inner(8, (m) => m.text(1, "").int(2, OPSET));
  for (const [key, value] of Object.entries(metadata)) rest.inner(14, (m) => m.text(1, key).text(2, value));
  const end = rest.finish();
  return {
    byteLength: start.length + bytes + end.length,
    *parts() {
      yield start;
      yield first;
      for (const [i, initializer] of graph.initializers.entries()) {
        yield heads[i]!;
        yield initializer.data();
      }
      yield last;
      yield end;
    },
  };
}

/** All that stands before a constant's values. */
function headOf({ name, type, shape, byteLength }: Initializer): Uint8Array {
  const tensor = message();
  for (const d of shape) tensor.int(1, d);
  const fields = tensor.int(2, TYPES[type]).text(8, name).announce(9, byteLength).finish();
  const tag = message()
    .announce(5, fields.length + byteLength)
    .finish();
  const head = new Uint8Array(tag.length + fields.length);
  head.set(tag);
  head.set(fields, tag.length);
  return head;
}

function writeNode(m: Message, { op, inputs, outputs, attributes }: Node): void {
  for (const name of inputs) m.text(1, name);
  for (const name of outputs) m.text(2, name);
  m.text(3, outputs[0]!).text(4, op);
  for (const [name, value] of Object.entries(attributes)) m.inner(5, (a) => writeAttribute(a, name, value));
}

/** Kinds: FLOAT 1, INT 2, INTS 7. */
function writeAttribute(m: Message, name: string, value: Attribute): void {
  m.text(1, name);
  if (typeof value === "number") m.int(3, value).int(20, 2);
  else if ("float" in value) m.float(2, value.float).int(20, 1);
  else {
    for (const v of value) m.int(8, v);
    m.int(20, 7);
  }
}

function writeValue(m: Message, { name, shape }: Value): void {
  const size = (d: number | string) => (dim: Message) => (typeof d === "number" ? dim.int(1, d) : dim.text(2, d));
  const sizes = (all: Message) => shape.forEach((d) => all.inner(1, size(d)));
  m.text(1, name).inner(2, (type) => type.inner(1, (tensor) => tensor.int(1, TYPES.FLOAT).inner(2, sizes)));
}

/** A file in one piece. */
export function wholeFile({ byteLength, parts }: OnnxFile): Uint8Array {
  const all = new Uint8Array(byteLength);
  let at = 0;
  for (const part of parts()) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
