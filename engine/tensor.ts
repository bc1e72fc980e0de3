/** A dense, row-major array on the GPU. Operations are functions in `kernels/`; a tensor knows none of them. */
import { getDevice } from "./device.ts";
import { flush, isRecording } from "./launch.ts";
import { allocate, type Storage } from "./memory.ts";
import { checkShape, numel, show, type Shape } from "./shape.ts";
import { giveStaging, takeStaging } from "./staging.ts";

export type DType = "f32" | "f16" | "i32" | "u32" | "u8";

/** Bytes of one element. `u8` is packed four to a word; kernels see `array<u32>`. */
export const dtypeBytes: Readonly<Record<DType, number>> = { f32: 4, f16: 2, i32: 4, u32: 4, u8: 1 };

const arrays = { f32: Float32Array, f16: Uint16Array, i32: Int32Array, u32: Uint32Array, u8: Uint8Array } as const;

/** Type of the values that `read()` returns; f16 is returned as its bits. */
export type DataOf<D extends DType> = InstanceType<(typeof arrays)[D]>;

/** Edge of the tape from a result to its inputs. */
export interface GraphNode {
  /** `partialOf`: index of the input whose accumulated gradient `backward` gets as `partial` and adds to. */
  readonly op: { readonly name: string; readonly partialOf?: number };
  /** Later nodes have higher numbers; gradients flow in falling order. */
  readonly order: number;
  readonly inputs: readonly (Tensor | null)[];
  readonly backward: (dy: Tensor, partial: Tensor | null) => readonly (Tensor | null)[];
}

export class Tensor {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly storage: Storage;
  /** Bytes from the start of the storage; a multiple of 256. */
  readonly offset: number;
  /** How this tensor was computed; `null` for leaves. */
  node: GraphNode | null = null;
  requiresGrad = false;

  constructor(shape: Shape, dtype: DType, storage: Storage, offset = 0) {
    this.shape = shape;
    this.dtype = dtype;
    this.storage = storage;
    this.offset = offset;
  }

  /** Uploads values. Floats are rounded to f32; f16 is given as its bits. */
  static from(data: ArrayLike<number>, shape: Shape, dtype: DType = "f32"): Tensor {
    const bytes = checkedBytes("Tensor.from", shape, dtype);
    checkLength("Tensor.from", data, shape);
    const tensor = new Tensor(shape, dtype, allocate(bytes, `tensor ${show(shape)}`));
    upload(tensor, data);
    return tensor;
  }

  static zeros(shape: Shape, dtype: DType = "f32"): Tensor {
    const tensor = new Tensor(shape, dtype, allocate(checkedBytes("Tensor.zeros", shape, dtype), `tensor ${show(shape)}`));
    const { gpu } = getDevice();
    flush();
    const encoder = gpu.createCommandEncoder();
    encoder.clearBuffer(tensor.storage.use("Tensor.zeros"));
    gpu.queue.submit([encoder.finish()]);
    return tensor;
  }

  get size(): number {
    return numel(this.shape);
  }

  get bytes(): number {
    return this.size * dtypeBytes[this.dtype];
  }

  /** Replaces the values. Shapes and memory stay, so that recorded plans see the new values. */
  write(data: ArrayLike<number>): void {
    if (isRecording()) throw new Error("Tensor.write: expected to be outside a recording, got inside one (write before run())");
    checkLength("Tensor.write", data, this.shape);
    upload(this, data);
  }

  /** Copies the values back. Waits for everything launched before. */
  async read(): Promise<DataOf<DType>> {
    return (await readAll([this]))[0]!;
  }

  /** `read()` of an f32 tensor. */
  async floats(): Promise<Float32Array> {
    if (this.dtype !== "f32") throw new Error(`Tensor.floats: expected f32, got ${this.dtype}`);
    return (await this.read()) as Float32Array;
  }

  /** The one value of a one-element f32 tensor. */
  async item(): Promise<number> {
    if (this.size !== 1) throw new Error(`Tensor.item: expected one element, got shape ${show(this.shape)}`);
    return (await this.floats())[0]!;
  }

  /** The same memory under another shape; no gradient flows (see `reshape` in kernels/movement.ts). */
  view(shape: Shape): Tensor {
    if (numel(shape) !== this.size)
      throw new Error(`reshape: expected ${numel(shape)} values for ${show(shape)}, got ${this.size} from ${show(this.shape)}`);
    return new Tensor(shape, this.dtype, this.storage, this.offset);
  }

  /** The same values without the tape: no gradient flows through the result. */
  detach(): Tensor {
    return this.view(this.shape);
  }

  /**
   * The buffer that holds the values from byte `offset` on, for an app's own WebGPU code. Submits waiting launches first, so that commands
   * which the app submits next see their results. After `dispose()` the pool may reuse the buffer.
   */
  buffer(): { buffer: GPUBuffer; offset: number; bytes: number } {
    if (isRecording()) throw new Error("Tensor.buffer: expected to be outside a recording, got inside one");
    flush();
    return { buffer: this.storage.use("Tensor.buffer"), offset: this.offset, bytes: this.bytes };
  }

  /** Returns the memory to the pool now; views of the tensor become invalid too. */
  dispose(): void {
    this.storage.free();
  }
}

/** Bytes of a tensor of this shape and type; throws if either is invalid. */
export function checkedBytes(what: string, shape: Shape, dtype: DType): number {
  checkShape(what, shape);
  if (!Object.hasOwn(dtypeBytes, dtype)) throw new Error(`${what}: expected dtype ${Object.keys(dtypeBytes).join(", ")}, got "${dtype}"`);
  return numel(shape) * dtypeBytes[dtype];
}

function checkLength(what: string, { length }: ArrayLike<number>, shape: Shape): void {
  if (length !== numel(shape)) throw new Error(`${what}: expected ${numel(shape)} values for shape ${show(shape)}, got ${length}`);
}

function upload(tensor: Tensor, data: ArrayLike<number>): void {
  const device = getDevice();
  device.check();
  flush(); // waiting launches may use the same memory, and a queue write would overtake them
  const Typed = arrays[tensor.dtype];
  const typed = data instanceof Typed ? data : new Typed(data);
  let bytes = new Uint8Array(typed.buffer as ArrayBuffer, typed.byteOffset, typed.byteLength);
  if (bytes.length % 4 !== 0) {
    const words = new Uint8Array(Math.ceil(bytes.length / 4) * 4); // writeBuffer takes whole ones
    words.set(bytes);
    bytes = words;
  }
  const buffer = tensor.storage.use("Tensor.write");
  device.guard(() => device.gpu.queue.writeBuffer(buffer, tensor.offset, bytes));
}

/** Reads several tensors in one submit. */
export async function readAll(tensors: readonly Tensor[]): Promise<DataOf<DType>[]> {
  const device = getDevice();
  device.check();
  flush();
  const { buffer, offsets, bytes } = takeStaging(device, tensors);
  device.guard(() => {
    const encoder = device.gpu.createCommandEncoder();
    tensors.forEach((t, i) =>
      encoder.copyBufferToBuffer(t.storage.use("Tensor.read"), t.offset, buffer, offsets[i]!, Math.ceil(t.bytes / 4) * 4),
    );
    device.gpu.queue.submit([encoder.finish()]);
  });
  await device.wait(buffer.mapAsync(GPUMapMode.READ, 0, bytes));
  const mapped = buffer.getMappedRange(0, bytes);
  const data = tensors.map((t, i) => new arrays[t.dtype](mapped.slice(offsets[i]!, offsets[i]! + t.bytes)));
  buffer.unmap();
  giveStaging(device, buffer);
  return data;
}
