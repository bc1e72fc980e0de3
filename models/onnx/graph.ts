/** A graph of ONNX operators under construction: each method adds to it and returns the name of what it made. */
import { numel, type Shape } from "../../engine/shape.ts";
import type { State } from "../params.ts";
import { onnxFile, type Attribute, type Initializer, type Node, type OnnxFile, type Value } from "./file.ts";
import { toF16 } from "../half.ts";

/** How weights and what lies between operators are stored. Inputs and outputs are f32. */
export type OnnxDtype = "f32" | "f16";

type Attributes = Readonly<Record<string, Attribute>>;

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array => new Uint8Array(buffer, byteOffset, byteLength);

export class Graph {
  readonly #state: State;
  readonly #dtype: OnnxDtype;
  readonly #nodes: Node[] = [];
  readonly #initializers = new Map<string, Initializer>();
  readonly #inputs: Value[] = [];
  readonly #outputs: Value[] = [];

  /** `state`: what `weight` takes values from. */
  constructor(state: State, dtype: OnnxDtype = "f32") {
    this.#state = state;
    this.#dtype = dtype;
  }

  node(op: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.nodes(op, inputs, 1, attributes)[0]!;
  }

  nodes(op: string, inputs: readonly string[], count: number, attributes: Attributes = {}): string[] {
    const outputs = Array.from({ length: count }, (_, i) => `${op}_${this.#nodes.length}${count > 1 ? `_${i}` : ""}`);
    this.#nodes.push({ op, inputs, outputs, attributes });
    return outputs;
  }

  /** What the file is fed. */
  input(name: string, shape: Value["shape"]): string {
    this.#inputs.push({ name, shape });
    return this.#dtype === "f16" ? this.node("Cast", [name], { to: 10 }) : name;
  }

  /** Calls `value` by `name` outside. */
  output(name: string, value: string, shape: Value["shape"]): void {
    this.#outputs.push({ name, shape });
    this.#nodes.push(
      this.#dtype === "f16"
        ? { op: "Cast", inputs: [value], outputs: [name], attributes: { to: 1 } }
        : { op: "Identity", inputs: [value], outputs: [name], attributes: {} },
    );
  }

  /** The state's values of that name. */
  weight(name: string): string {
    const found = this.#state.get(name);
    if (!found) throw new Error(`onnx: expected a parameter ${name}, got none: this kind of model cannot be exported`);
    return this.constant(name, found.shape, () => found.data);
  }

  /** Values that are known when the file is written; one for each name. */
  constant(name: string, shape: Shape, values: () => Float32Array): string {
    const half = this.#dtype === "f16";
    return this.#constant({
      name,
      type: half ? "FLOAT16" : "FLOAT",
      shape,
      byteLength: numel(shape) * (half ? 2 : 4),
      data: () => bytesOf(half ? toF16(name, values()) : values()),
    });
  }

  scalar(value: number): string {
    return this.constant(`scalar_${value}`, [], () => Float32Array.of(value));
  }

  ints(...values: readonly number[]): string {
    const data = BigInt64Array.from(values, BigInt);
    return this.#constant({
      name: `ints_${values.join("_")}`,
      type: "INT64",
      shape: [values.length],
      byteLength: data.byteLength,
      data: () => bytesOf(data),
    });
  }

  /** 0 keeps an axis, -1 is what is left. */
  reshape(x: string, ...shape: readonly number[]): string {
    return this.node("Reshape", [x, this.ints(...shape)]);
  }

  /** One of an axis, which goes. */
  at(x: string, axis: number, index: number): string {
    return this.node("Squeeze", [this.slice(x, axis, index, index + 1), this.ints(axis)]);
  }

  /** `from` to `to`, excluded, of an axis. */
  slice(x: string, axis: number, from: number, to: number): string {
    return this.node("Slice", [x, this.ints(from), this.ints(to), this.ints(axis)]);
  }

  /** Names of the state that no operator reads. */
  unread(): string[] {
    return [...this.#state.keys()].filter((name) => !this.#initializers.has(name));
  }

  file(metadata: Readonly<Record<string, string>> = {}): OnnxFile {
    const graph = { nodes: this.#nodes, initializers: [...this.#initializers.values()], inputs: this.#inputs, outputs: this.#outputs };
    return onnxFile(graph, metadata);
  }

  #constant(initializer: Initializer): string {
    if (!this.#initializers.has(initializer.name)) this.#initializers.set(initializer.name, initializer);
    return initializer.name;
  }
}
