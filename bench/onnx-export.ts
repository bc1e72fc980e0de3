/**
 * Our models and operations as ONNX files with the same weights, for rivals that run nothing else. Standard operators of opset 20.
 *
 * ONNX is protobuf (https://protobuf.dev/programming-guides/encoding/) with the fields of
 * https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; what is used of it is small enough to be written by hand.
 */
import { numel, type Shape } from "../engine/shape.ts";
import type { Inputs } from "./benchmark.ts";

const OPSET = 20;
const IR_VERSION = 9;
const FLOAT = 1,
  INT64 = 7;

class Writer {
  readonly #parts: Uint8Array[] = [];

  /** Wire type 0. Non-negative. */
  int(field: number, value: number): this {
    this.#parts.push(varint(field << 3), varint(value));
    return this;
  }

  /** Wire type 5. */
  float(field: number, value: number): this {
    this.#parts.push(varint((field << 3) | 5), new Uint8Array(new Float32Array([value]).buffer));
    return this;
  }

  /** Wire type 2: text, bytes or a message. */
  put(field: number, value: string | Uint8Array | Writer): this {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value instanceof Writer ? value.bytes() : value;
    this.#parts.push(varint((field << 3) | 2), varint(bytes.length), bytes);
    return this;
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.#parts.reduce((n, p) => n + p.length, 0));
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}

/** Seven bits a byte, lowest first. Negative numbers as 64-bit two's complement. */
function varint(value: number): Uint8Array {
  let v = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  do {
    const low = Number(v & 0x7fn);
    v >>= 7n;
    bytes.push(v > 0n ? low | 0x80 : low);
  } while (v > 0n);
  return Uint8Array.from(bytes);
}

type Attribute = number | readonly number[] | { readonly float: number };

/** A graph under construction: every method adds a node and returns the name of its output. */
export class Graph {
  readonly #nodes: Writer[] = [];
  readonly #weights: Writer[] = [];
  readonly #inputs: Writer[] = [];
  #count = 0;

  node(op: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    return this.nodes(op, inputs, 1, attributes)[0]!;
  }

  nodes(op: string, inputs: readonly string[], outputs: number, attributes: Readonly<Record<string, Attribute>> = {}): string[] {
    const names = Array.from({ length: outputs }, () => `t${this.#count++}`);
    const node = new Writer();
    for (const name of inputs) node.put(1, name);
    for (const name of names) node.put(2, name);
    node.put(3, names[0]!).put(4, op);
    for (const [name, value] of Object.entries(attributes)) node.put(5, attribute(name, value));
    this.#nodes.push(node);
    return names;
  }

  input(name: string, shape: Shape): string {
    this.#inputs.push(valueInfo(name, shape));
    return name;
  }

  floats(name: string, shape: Shape, data: Float32Array): string {
    const raw = new Uint8Array(data.buffer, data.byteOffset, 4 * numel(shape));
    this.#weights.push(dims(new Writer(), shape).int(2, FLOAT).put(8, name).put(9, raw));
    return name;
  }

  ints(...values: number[]): string {
    const name = `i${this.#count++}`;
    this.#weights.push(
      dims(new Writer(), [values.length])
        .int(2, INT64)
        .put(8, name)
        .put(9, new Uint8Array(BigInt64Array.from(values, BigInt).buffer)),
    );
    return name;
  }

  scalar(value: number): string {
    return this.floats(`s${this.#count++}`, [], Float32Array.of(value));
  }

  reshape(x: string, ...shape: number[]): string {
    return this.node("Reshape", [x, this.ints(...shape)]);
  }

  /** The file: `y` is called `y` outside. */
  model(y: string, shape: Shape): Uint8Array {
    const renamed = new Writer().put(1, y).put(2, "y").put(3, "y").put(4, "Identity");
    const graph = new Writer();
    for (const node of [...this.#nodes, renamed]) graph.put(1, node);
    graph.put(2, "main");
    for (const weight of this.#weights) graph.put(5, weight);
    for (const input of this.#inputs) graph.put(11, input);
    graph.put(12, valueInfo("y", shape));
    return new Writer().int(1, IR_VERSION).put(2, "tessera").put(7, graph).put(8, new Writer().put(1, "").int(2, OPSET)).bytes();
  }
}

function dims(tensor: Writer, shape: Shape): Writer {
  for (const d of shape) tensor.int(1, d);
  return tensor;
}

function valueInfo(name: string, shape: Shape): Writer {
  const sizes = new Writer();
  for (const d of shape) sizes.put(1, new Writer().int(1, d));
  return new Writer().put(1, name).put(2, new Writer().put(1, new Writer().int(1, FLOAT).put(2, sizes)));
}

/** Attribute types: FLOAT 1, INT 2, INTS 7. */
function attribute(name: string, value: Attribute): Writer {
  const a = new Writer().put(1, name);
  if (typeof value === "number") return a.int(3, value).int(20, 2);
  if ("float" in value) return a.float(2, value.float).int(20, 1);
  for (const v of value) a.int(8, v);
  return a.int(20, 7);
}

/** Adds a model's parameters to `g` and returns a way to name them. */
export function weightsOf(g: Graph, inputs: Inputs): (name: string, shape?: Shape) => string {
  const added = new Set<string>();
  return (name, shape) => {
    const { data, shape: own } = inputs.get(name)!;
    if (!added.has(name)) g.floats(name, shape ?? own, data);
    added.add(name);
    return name;
  };
}
