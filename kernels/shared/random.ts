/**
 * Counter-based random numbers, Philox4x32-10: the same bits in WGSL and in TypeScript, from (seed, stream) and a counter,
 * so that a draw does not depend on earlier draws.
 *
 * Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", https://doi.org/10.1145/2063384.2063405
 */

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

export type Block = [number, number, number, number];

/** Four u32 from a counter of four u32 and a key of two. */
export function philox(counter: Readonly<Block>, key: readonly [number, number]): Block {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const hi0 = mulHigh(M0, c0);
    const lo0 = Math.imul(M0, c0);
    const hi1 = mulHigh(M1, c2);
    const lo1 = Math.imul(M1, c2);
    [c0, c1, c2, c3] = [hi1 ^ c1 ^ k0, lo1, hi0 ^ c3 ^ k1, lo0];
    k0 = (k0 + W0) | 0;
    k1 = (k1 + W1) | 0;
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
}

/** The high 32 bits of a product of two u32. */
function mulHigh(a: number, b: number): number {
  const al = a & 0xffff,
    ah = a >>> 16,
    bl = b & 0xffff,
    bh = b >>> 16;
  const mid = al * bh + Math.floor((al * bl) / 65536);
  const mid2 = ah * bl + (mid % 65536);
  return (ah * bh + Math.floor(mid / 65536) + Math.floor(mid2 / 65536)) >>> 0;
}

/** u32 to [0, 1) with 24 bits: exact in f32, and the same in WGSL. */
export const toUniform = (u: number): number => (u >>> 8) / 0x1000000;

/** A sequence of draws from one stream. */
export class Random {
  readonly #key: [number, number];
  #at: number;
  #block: Block | null = null;

  /** `stream`: a u32 per use of random numbers, so that uses are independent; `at`: the first block's counter. */
  constructor(seed: number, stream = 0, at = 0) {
    this.#key = [seed >>> 0, stream >>> 0];
    this.#at = at * 4;
  }

  u32(): number {
    const lane = this.#at % 4;
    if (lane === 0 || !this.#block) {
      const n = Math.floor(this.#at / 4);
      this.#block = philox([n >>> 0, Math.floor(n / 2 ** 32), 0, 0], this.#key);
    }
    this.#at++;
    return this.#block[lane]!;
  }

  /** In [low, high). */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * toUniform(this.u32());
  }

  /** An integer in [0, n), without bias. */
  int(n: number): number {
    if (!Number.isInteger(n) || n <= 0 || n > 2 ** 32) throw new Error(`Random.int: expected an integer in [1, 2^32], got ${n}`);
    const limit = 2 ** 32 - (2 ** 32 % n);
    for (;;) {
      const u = this.u32();
      if (u < limit) return u % n;
    }
  }

  /** Standard normal (Box-Muller, cosine branch). */
  normal(): number {
    const u = (this.u32() + 1) / 2 ** 32; // (0, 1]: the log is finite
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * (this.u32() / 2 ** 32));
  }
}

/** WGSL: `philox(counter: vec4u, key: vec2u) -> vec4u` and `to_uniform(u: u32) -> f32`, the same bits as above. */
export const philoxWgsl = /* wgsl */ `
fn mul_high(a: u32, b: u32) -> u32 {
  let al = a & 0xffffu; let ah = a >> 16u; let bl = b & 0xffffu; let bh = b >> 16u;
  let mid = al * bh + ((al * bl) >> 16u);
  let mid2 = ah * bl + (mid & 0xffffu);
  return ah * bh + (mid >> 16u) + (mid2 >> 16u);
}
fn philox(counter: vec4u, key: vec2u) -> vec4u {
  var c = counter;
  var k = key;
  for (var round = 0u; round < 10u; round++) {
    c = vec4u(mul_high(${M1}u, c.z) ^ c.y ^ k.x, ${M1}u * c.z, mul_high(${M0}u, c.x) ^ c.w ^ k.y, ${M0}u * c.x);
    k += vec2u(${W0}u, ${W1}u);
  }
  return c;
}
fn to_uniform(u: u32) -> f32 { return f32(u >> 8u) * 5.9604644775390625e-8; }
`;
