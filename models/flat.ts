/** Several tensors side by side in flat buffers, so that one launch reaches many of them. */
import { getDevice } from "../engine/device.ts";
import { numel, type Shape } from "../engine/shape.ts";
import { dtypeBytes, Tensor, type DType } from "../engine/tensor.ts";
import { FLAT_BLOCK } from "../kernels/optim/flat-block.ts";

interface Part {
  readonly name: string;
  readonly shape: Shape;
}

type TensorValues = Map<string, { shape: Shape; data: Float32Array }>;

type Limits = Pick<GPUSupportedLimits, "maxBufferSize" | "maxStorageBufferBindingSize">;

/** Bytes of the largest tensor on a device. */
export const largestTensor = ({ maxBufferSize, maxStorageBufferBindingSize }: Limits): number =>
  Math.min(maxBufferSize, maxStorageBufferBindingSize);

/** Bindings begin at multiples of so many bytes: a tensor of f16 that lies in a flat begins at a multiple of twice FLAT_BLOCK. */
const ALIGNMENT = 256;

/** Buffers of one layout: [n] each. */
export type Flat = readonly Tensor[];

/**
 * Where each tensor lies: in one buffer, or in several where the device cannot bind one of that size; any number of flats may have the
 * layout. Between tensors lie zeros.
 */
export class FlatLayout {
  readonly parts: readonly (Part & { readonly buffer: number; readonly start: number })[];
  /** Number of elements of each buffer. */
  readonly sizes: readonly number[];

  /** `narrowest`: of the types that flats of this layout have. */
  constructor(parts: readonly Part[], limits: Limits = getDevice().limits, narrowest: DType = "f32") {
    const most = largestTensor(limits) / 4;
    const sizes: number[] = [];
    const block = ALIGNMENT / dtypeBytes[narrowest];
    this.parts = parts.map(({ name, shape }) => {
      const n = block * Math.ceil(numel(shape) / block);
      if (sizes.length === 0 || sizes.at(-1)! + n > most) sizes.push(0);
      const buffer = sizes.length - 1;
      const start = sizes[buffer]!;
      sizes[buffer] = start + n;
      return { name, shape, buffer, start };
    });
    this.sizes = sizes;
  }

  zeros(dtype: DType = "f32"): Flat {
    return this.sizes.map((size) => Tensor.zeros([size], dtype));
  }

  /** Buffers with these values, or of zeros. */
  from(values: ReadonlyMap<string, { readonly data: Float32Array }> | null): Flat {
    const flat = this.zeros();
    if (values) this.write(flat, values);
    return flat;
  }

  /** Each tensor as a view into `flat`, in order. */
  views(flat: Flat): Tensor[] {
    return this.parts.map(({ shape, buffer, start }) => {
      const { dtype, storage } = flat[buffer]!;
      return new Tensor(shape, dtype, storage, dtypeBytes[dtype] * start);
    });
  }

  /** Number of elements of each buffer that belong to the first `count` tensors. */
  leading(count: number): number[] {
    const end = this.parts[count] ?? { buffer: this.sizes.length, start: 0 };
    return this.sizes.map((size, i) => (i < end.buffer ? size : i === end.buffer ? end.start : 0));
  }

  async read(flat: Flat): Promise<TensorValues> {
    const values: Float32Array[] = [];
    for (const tensor of flat) values.push(await tensor.floats());
    return new Map(
      this.parts.map(({ name, shape, buffer, start }) => [name, { shape, data: values[buffer]!.slice(start, start + numel(shape)) }]),
    );
  }

  write(flat: Flat, values: ReadonlyMap<string, { readonly data: Float32Array }>): void {
    // One after another, not all of them copied together first: a large model's weights are in memory once.
    this.views(flat).forEach((view, i) => view.write(values.get(this.parts[i]!.name)!.data));
  }
}

/**
 * For per-tensor updates, of each buffer of a layout: u32 [S,2], offset and number of elements of each tensor; u32 [size / FLAT_BLOCK], the
 * tensor of each block.
 */
export const blockTables = ({ parts, sizes }: FlatLayout): { segments: Tensor; owners: Tensor }[] =>
  sizes.map((size, i) => {
    const own = parts.filter(({ buffer }) => buffer === i);
    const owners = new Uint32Array(size / FLAT_BLOCK);
    own.forEach(({ shape, start }, s) => owners.fill(s, start / FLAT_BLOCK, Math.ceil((start + numel(shape)) / FLAT_BLOCK)));
    return {
      segments: Tensor.from(
        own.flatMap(({ shape, start }) => [start, numel(shape)]),
        [own.length, 2],
        "u32",
      ),
      owners: Tensor.from(owners, [owners.length], "u32"),
    };
  });
