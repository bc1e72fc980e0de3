/** Writes PyTorch's checkpoint files, such that `torch.load(weights_only=True)` reads them. */
import { writeZip } from "./zip-writer.ts";

export interface WriteOptions {
  /** The state dict's key in a dict around it, as official checkpoints have `model`; bare where not given. */
  readonly wrapper?: string | undefined;
  /** Beside the state dict in that dict. */
  readonly texts?: Readonly<Record<string, string>>;
}

/** A file of F32 `entries` in their order. Same tensors, same bytes. */
export function writeTorchFile(
  entries: Iterable<readonly [name: string, tensor: { readonly shape: readonly number[]; readonly data: Float32Array }]>,
  { wrapper, texts = {} }: WriteOptions = {},
): Uint8Array {
  const p = new Pickler();
  const storages: [string, Uint8Array][] = [];
  if (wrapper !== undefined) p.code("}(").text(wrapper); // {wrapper: …
  p.global("collections", "OrderedDict").code(")R(");
  for (const [name, { shape, data }] of entries) {
    const key = `${storages.length}`;
    storages.push([`archive/data/${key}`, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]);
    p.text(name)
      .global("torch._utils", "_rebuild_tensor_v2")
      .code("((")
      .text("storage")
      .global("torch", "FloatStorage")
      .text(key)
      .text("cpu");
    p.int(data.length).code("tQ").int(0).ints(shape).ints(stridesOf(shape)).code("\x89").global("collections", "OrderedDict").code(")RtR");
  }
  p.code("u");
  if (wrapper !== undefined) {
    for (const [name, text] of Object.entries(texts)) p.text(name).text(text);
    p.code("u");
  }
  const ascii = (text: string) => new TextEncoder().encode(text);
  return writeZip([
    ["archive/data.pkl", p.finish()],
    ["archive/byteorder", ascii("little")],
    ...storages,
    ["archive/version", ascii("3\n")],
  ]);
}

/** Pickle protocol 2, opcode by opcode. */
class Pickler {
  readonly #bytes: number[] = [0x80, 2];

  code(opcodes: string): this {
    for (const c of opcodes) this.#bytes.push(c.charCodeAt(0));
    return this;
  }
  text(value: string): this {
    const encoded = new TextEncoder().encode(value);
    this.code("X").#u32(encoded.length);
    for (const b of encoded) this.#bytes.push(b);
    return this;
  }
  global(module: string, name: string): this {
    return this.code(`c${module}\n${name}\n`);
  }
  int(value: number): this {
    if (!(value >= 0 && value < 2 ** 31)) fail("sizes below 2^31", `${value}`);
    this.code("J").#u32(value);
    return this;
  }
  ints(values: readonly number[]): this {
    this.code("(");
    for (const v of values) this.int(v);
    return this.code("t");
  }
  finish(): Uint8Array {
    return Uint8Array.from(this.code(".").#bytes);
  }
  #u32(value: number): void {
    for (let shift = 0; shift < 32; shift += 8) this.#bytes.push((value >>> shift) & 255);
  }
}

function stridesOf(shape: readonly number[]): number[] {
  let run = 1;
  return shape
    .toReversed()
    .map((n) => {
      const stride = run;
      run *= Math.max(n, 1);
      return stride;
    })
    .reverse();
}

function fail(expected: string, got: string): never {
  throw new Error(`torch file: expected ${expected}, got ${got}`);
}
