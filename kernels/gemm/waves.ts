/**
 * How a product fills a GPU. Its workgroups run in waves: as many at a time as the GPU has room for. Of large tiles the last wave takes as
 * long as a full one however few they are. Cutting the sum along K makes more and shorter workgroups, whose partial sums are then added.
 */
import { adapterName, getDevice } from "../../engine/device.ts";

/** Cores (NVIDIA: SMs) of GPUs that were measured; WebGPU does not tell. H100 (SXM) and H200. */
const CORES: readonly (readonly [RegExp, number])[] = [[/\bh100-80gb-hbm3\b|\bh200\b/, 132]];

/** Taken for a GPU that is not known. */
const LARGE_GPU = 132;

/** The current GPU's number of cores, or null. */
export function knownCores(): number | null {
  const name = adapterName(getDevice().adapter).toLowerCase();
  return CORES.find(([pattern]) => pattern.test(name))?.[1] ?? null;
}

// Sums that a core's registers hold: two tiles of 128x128 in f32, one of 128x256 on tensor cores (bench/results/GPU.md).
const SUMS_PER_CORE = 2 ** 15;
const MOST_PER_CORE = 16;

// A workgroup alone on a core takes as long as one of two there, measured; further ones share its speed.
const SHARED_FROM = 2;
// Of products that are cut, a wave's workgroups do not end together: what is left over after full waves takes a quarter more than its share,
// and no longer than a wave. Measured at 0.5 to 2.05 waves.
const LEFT_OVER = 1.25;

/** Workgroups of a tile of bm x bn that a core runs at once. */
const perCore = (bm: number, bn: number): number => Math.min(MOST_PER_CORE, Math.max(1, Math.floor(SUMS_PER_CORE / (bm * bn))));

/**
 * Waves that so many workgroups take on a GPU of so many cores, `each` on a core at once, of a product whose sum along K is cut or whole.
 * Where the number of cores is a guess (null), half a wave more than they fill.
 */
export function wavesOf(workgroups: number, each: number, cores: number | null, cut: boolean): number {
  const slots = (cores ?? LARGE_GPU) * each,
    filled = workgroups / slots;
  if (cores !== null && cut) {
    return Math.max(filled, Math.min(Math.ceil(filled), LEFT_OVER * filled), Math.min(1, SHARED_FROM / each));
  }
  if (filled < 1) return Math.min(1, Math.max(SHARED_FROM, Math.ceil(workgroups / (cores ?? LARGE_GPU))) / each);
  if (cores === null) return filled + 0.5;
  // Measured: 2.24 waves of 128x64, of 64x64 and of 128x128 take 2.1, 2.2 and 3 (50432x192x768 on an H200).
  return each > SHARED_FROM ? filled : Math.ceil(filled);
}

/** A product by tiles of bm x bn; `tiles` over all matrices, and `elements` of C. */
export interface Tiling {
  readonly bm: number;
  readonly bn: number;
  readonly tiles: number;
  readonly elements: number;
  readonly K: number;
  /** Elements along K per step. */
  readonly step: number;
  /** Speed of whole tiles that fill the GPU, relative to the fastest. */
  readonly speed: number;
}

/**
 * What a kind of product costs beside its multiply-adds. `start`: a tile's beginning and end, in steps of one along K. `part`: multiply-adds
 * in the time in which one partial sum is written and read.
 */
export interface Overhead {
  readonly start: number;
  readonly part: number;
}

// From an H100: 2.6 TB/s, 44.6 TFLOP/s in f32 and 275 on tensor cores; starts fitted to its products (bench/results/GPU.md).
export const F32_OVERHEAD: Overhead = { start: 65, part: 70 };
export const MATRIX_OVERHEAD: Overhead = { start: 96, part: 420 };

/** How the sum along K is cut: the number of shares, and the length of each but the last. */
export interface Cut {
  readonly splits: number;
  readonly chunk: number;
}

/** Shares of at least this length. */
export const SHORTEST_SHARE = 256;
/** Largest memory of partial sums, in bytes. */
const MOST_PARTS = 2 ** 29;

export const mostCuts = ({ K, elements }: Pick<Tiling, "K" | "elements">): number => {
  const room = Math.min(MOST_PARTS, getDevice().limits.maxStorageBufferBindingSize) / (4 * elements);
  return Math.max(1, Math.min(Math.floor(K / SHORTEST_SHARE), Math.floor(room)));
};

export function cutInto(shares: number, { K, step }: Pick<Tiling, "K" | "step">): Cut {
  if (shares <= 1) return { splits: 1, chunk: K };
  const chunk = Math.ceil(K / shares / step) * step;
  const splits = Math.ceil(K / chunk);
  return splits === 1 ? { splits, chunk: K } : { splits, chunk };
}

/** Time of a product that is cut so on a GPU of so many cores, in multiply-adds at full speed. */
function costOf(
  { bm, bn, tiles, elements, speed }: Tiling,
  { splits, chunk }: Cut,
  { start, part }: Overhead,
  cores: number | null,
): number {
  const each = perCore(bm, bn);
  const products = (wavesOf(tiles * splits, each, cores, splits > 1) * (cores ?? LARGE_GPU) * each * bm * bn * (chunk + start)) / speed;
  return products + (splits > 1 ? part * elements * splits : 0);
}

/** The cut of least cost among those into at most `most` shares. */
export function bestCut(t: Tiling, overhead: Overhead, most = mostCuts(t), cores = knownCores()): Cut & { readonly cost: number } {
  let best = { ...cutInto(1, t), cost: costOf(t, cutInto(1, t), overhead, cores) };
  for (let shares = 2; shares <= most; shares++) {
    const cut = cutInto(shares, t);
    const cost = costOf(t, cut, overhead, cores);
    if (cost < best.cost) best = { ...cut, cost };
  }
  return best;
}
