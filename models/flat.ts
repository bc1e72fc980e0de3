/** Several tensors side by side in one flat buffer, so that one launch reaches all of them. */
import { numel, type Shape } from "../engine/shape.ts";
import { Tensor } from "../engine/tensor.ts";
import { FLAT_BLOCK } from "../kernels/optim/flat-block.ts";

interface Part {
  readonly name: string;
  readonly shape: Shape;
}

type TensorValues = Map<string, { shape: Shape; data: Float32Array }>;

/** Where each tensor lies in a flat buffer; any number of buffers may have the layout. Between tensors lie zeros. */
export class FlatLayout {
  readonly parts: readonly (Part & { readonly start: number })[];
  /** Total number of elements. */
  readonly size: number;

  constructor(parts: readonly Part[]) {
    let n = 0;
    this.parts = parts.map(({ name, shape }) => {
      const start = n;
      n += FLAT_BLOCK * Math.ceil(numel(shape) / FLAT_BLOCK);
      return { name, shape, start };
    });
    this.size = n;
  }

  /** A buffer [size] with these values, or of zeros. */
  from(values: ReadonlyMap<string, { readonly data: Float32Array }> | null): Tensor {
    const flat = Tensor.zeros([this.size]);
    if (values) this.write(flat, values);
    return flat;
  }

  /** Each tensor as a view into `flat`, in order. */
  views(flat: Tensor): Tensor[] {
    return this.parts.map(({ shape, start }) => new Tensor(shape, "f32", flat.storage, 4 * start));
  }

  async read(flat: Tensor): Promise<TensorValues> {
    if (this.size === 0) return new Map();
    const values = await flat.floats();
    return new Map(this.parts.map(({ name, shape, start }) => [name, { shape, data: values.slice(start, start + numel(shape)) }]));
  }

  write(flat: Tensor, values: ReadonlyMap<string, { readonly data: Float32Array }>): void {
    // One after another, not all of them copied together first: a large model's weights are in memory once.
    this.views(flat).forEach((view, i) => view.write(values.get(this.parts[i]!.name)!.data));
  }

  /** For per-tensor updates: u32 [S,2], offset and number of elements of each tensor; u32 [size / FLAT_BLOCK], the tensor of each block. */
  tables(): { segments: Tensor; owners: Tensor } {
    const owners = new Uint32Array(this.size / FLAT_BLOCK);
    this.parts.forEach(({ shape, start }, s) => owners.fill(s, start / FLAT_BLOCK, Math.ceil((start + numel(shape)) / FLAT_BLOCK)));
    return {
      segments: Tensor.from(
        this.parts.flatMap(({ shape, start }) => [start, numel(shape)]),
        [this.parts.length, 2],
        "u32",
      ),
      owners: Tensor.from(owners, [owners.length], "u32"),
    };
  }
}
