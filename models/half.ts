/** Values as f16. */

const OVERFLOW = 0x477ff000; // 65520, the first that rounds to infinity
const NORMAL = 0x38800000; // 2^-14

/** The nearest f16 of each value, ties to even, as its bits. Throws where a value is too large for one, or no number. */
export function toF16(name: string, values: Float32Array): Uint16Array {
  const half = new Uint16Array(values.length);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < half.length; i++) {
    const b = bits[i]!;
    const sign = (b >>> 16) & 0x8000;
    const magnitude = b & 0x7fffffff;
    if (magnitude >= OVERFLOW) throw new Error(`f16: expected values within the range of f16 in ${name}, got ${values[i]} at element ${i}`);
    // Below 2^-14 halves are multiples of 2^-24; above, 13 bits of the fraction go and the exponent's bias falls by 112.
    half[i] =
      sign | (magnitude < NORMAL ? subnormal(Math.abs(values[i]!)) : (magnitude + 0xfff + ((magnitude >>> 13) & 1) - (112 << 23)) >>> 13);
  }
  return half;
}

function subnormal(value: number): number {
  const steps = value * 2 ** 24;
  const low = Math.floor(steps);
  const rest = steps - low;
  return low + (rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? 1 : 0);
}
