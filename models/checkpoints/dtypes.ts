/** Tensors as checkpoints hold them: element types, and their values as f32. */
import { type FileBytes, wholeOf } from "./file-bytes.ts";

export const ARRAYS = {
  // Kept as raw bits; nothing here computes with them.
  F4: Uint8Array,
  F6_E2M3: Uint8Array,
  F6_E3M2: Uint8Array,
  F8_E4M3: Uint8Array,
  F8_E5M2: Uint8Array,
  F8_E8M0: Uint8Array,
  F8_E4M3FNUZ: Uint8Array,
  F8_E5M2FNUZ: Uint8Array,
  C64: BigUint64Array,
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  I16: Int16Array,
  U16: Uint16Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I32: Int32Array,
  U32: Uint32Array,
  F32: Float32Array,
  F64: Float64Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
} as const;

export type SafeDtype = keyof typeof ARRAYS;
/** Bits per element; elements smaller than a byte are packed. */
export const bitsOf = (dtype: SafeDtype): number =>
  dtype === "F4" ? 4 : dtype.startsWith("F6_") ? 6 : 8 * ARRAYS[dtype].BYTES_PER_ELEMENT;

export type SafeData =
  | Uint8Array
  | Int8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

/** Row-major. F16 and BF16 hold their bits as u16 (see `toF32`), BOOL one byte per element. */
export interface SafeTensor {
  readonly dtype: SafeDtype;
  readonly shape: readonly number[];
  /** Each access may convert again: read it once. */
  readonly data: SafeData;
}

/**
 * A tensor on `bytes` of a file: a view of an array where alignment allows, else copied or read when asked for, so that a large file is not
 * held twice.
 */
export function lazyTensor(dtype: SafeDtype, shape: readonly number[], bytes: FileBytes): SafeTensor {
  const kind = ARRAYS[dtype];
  if (bytes.length % kind.BYTES_PER_ELEMENT !== 0)
    throw new Error(`weights: expected a multiple of ${kind.BYTES_PER_ELEMENT} bytes for ${dtype}, got ${bytes.length}`);
  if (bytes instanceof Uint8Array && bytes.byteOffset % kind.BYTES_PER_ELEMENT === 0) return { dtype, shape, data: arrayOn(bytes, dtype) };
  return {
    dtype,
    shape,
    get data() {
      return arrayOn(bytes instanceof Uint8Array ? bytes.slice() : wholeOf(bytes), dtype);
    },
  };
}

function arrayOn(bytes: Uint8Array, dtype: SafeDtype): SafeData {
  const kind = ARRAYS[dtype];
  return new kind(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length / kind.BYTES_PER_ELEMENT);
}

export const isFloat = (dtype: SafeDtype): boolean => dtype === "F32" || dtype === "F64" || dtype === "F16" || dtype === "BF16";

/** The F32 values of a floating tensor: `data` itself for F32, else converted. Throws for integers and BOOL. */
export function toF32({ dtype, data }: SafeTensor): Float32Array {
  switch (dtype) {
    case "F32":
      return data as Float32Array;
    case "F64":
      return Float32Array.from(data as Float64Array);
    case "F16":
      return Float32Array.from(data as Uint16Array, halfToNumber);
    case "BF16": {
      const bits = Uint32Array.from(data as Uint16Array, (b) => b << 16); // the upper half of an f32
      return new Float32Array(bits.buffer);
    }
    default:
      throw new Error(`safetensors: expected F32, F64, F16 or BF16 to make F32, got ${dtype}`);
  }
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}
