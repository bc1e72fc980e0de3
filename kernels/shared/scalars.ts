/** Numbers that change per step (learning rate, seeds, mixing factors) as data: one small buffer, one write per step. */
import { Tensor } from "../../engine/tensor.ts";

/** One number in a u32 tensor; WGSL reads `scalars[AT]`, floats by bitcast. */
export interface Scalar {
  readonly tensor: Tensor;
  readonly at: number;
}

export type ScalarTypes = Readonly<Record<string, "f32" | "u32">>;

export class Scalars<const T extends ScalarTypes> {
  readonly tensor: Tensor;
  readonly #types: T;
  readonly #names: readonly string[];
  readonly #words: Uint32Array;
  readonly #floats: Float32Array;

  constructor(types: T) {
    this.#types = types;
    this.#names = Object.keys(types);
    this.#words = new Uint32Array(this.#names.length);
    this.#floats = new Float32Array(this.#words.buffer);
    this.tensor = Tensor.from(this.#words, [this.#names.length], "u32");
  }

  at(name: keyof T & string): Scalar {
    return { tensor: this.tensor, at: this.#index(name) };
  }

  /** Sets some of the numbers; the others keep their values. */
  set(values: { readonly [K in keyof T]?: number }): void {
    for (const [name, value] of Object.entries(values) as [string, number][]) {
      const i = this.#index(name);
      if (!Number.isFinite(value)) throw new Error(`Scalars.set: expected a finite number for ${name}, got ${value}`);
      if (this.#types[name] === "f32") this.#floats[i] = value;
      else this.#words[i] = value;
    }
    this.tensor.write(this.#words);
  }

  #index(name: string): number {
    const i = this.#names.indexOf(name);
    if (i < 0) throw new Error(`Scalars: expected one of ${this.#names.join(", ")}, got ${name}`);
    return i;
  }
}

/** A constant for an argument that expects a per-step scalar. */
export function constant(value: number, type: "f32" | "u32" = "f32"): Scalar {
  const words = type === "u32" ? [value] : new Uint32Array(new Float32Array([value]).buffer);
  return { tensor: Tensor.from(words, [1], "u32"), at: 0 };
}
