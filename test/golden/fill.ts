/**
 * Repeatable weights without a file: the value of element i of tensor number k is a hash of (i, k), scaled. The same rule stands in
 * fill.py, so that PyTorch and this engine start from equal bits.
 */

/** 32 bits: MurmurHash3's finaliser of (i, k). */
export function hash(i: number, k: number): number {
  let h = (Math.imul(i, 0x9e3779b1) + Math.imul(k, 0x85ebca6b)) | 0;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** In [-1, 1), in f64. */
export const unitValue = (i: number, k: number): number => (2 * hash(i, k)) / 2 ** 32 - 1;

/** `count` values base + amp * unit, rounded once to f32. k is 1-based in state_dict order; the input is k = 0. */
export function fill(count: number, k: number, amp: number, base = 0): Float32Array {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = base + amp * unitValue(i, k);
  return values;
}

/** amp and base of a parameter or buffer by its timm name and shape. */
export function fillRange(name: string, shape: readonly number[]): { amp: number; base: number } {
  if (/(^|\.)(cls_token|dist_token|reg_token|pos_embed)$/.test(name)) return { amp: 0.5, base: 0 };
  if (name.endsWith("gamma")) return { amp: 0.3, base: 0.6 };
  if (name.endsWith("running_var")) return { amp: 0.5, base: 1 };
  if (name.endsWith("running_mean")) return { amp: 0.1, base: 0 };
  if (shape.length >= 2) return { amp: Math.sqrt(3 / shape.slice(1).reduce((a, b) => a * b, 1)), base: 0 };
  if (name.endsWith("weight")) return { amp: 0.2, base: 1 };
  return { amp: 0.1, base: 0 };
}

/** Fills the tensors of a model, given in state_dict order; `num_batches_tracked` is to be left out. */
export function fillState(entries: Iterable<readonly [name: string, shape: readonly number[]]>): Map<string, Float32Array> {
  const state = new Map<string, Float32Array>();
  let k = 0;
  for (const [name, shape] of entries) {
    const { amp, base } = fillRange(name, shape);
    state.set(name, fill(shape.reduce((a, b) => a * b, 1), ++k, amp, base));
  }
  return state;
}

/** The input of the golden runs: `count` values of amplitude 1.7. */
export const fillInput = (count: number): Float32Array => fill(count, 0, 1.7);
