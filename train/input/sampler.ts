/**
 * Repeated augmentation: the images of an epoch, each with its copy number.
 *
 * The epoch's permutation has every image `repeats` times in a row; replica r of R takes the positions r, r + R, r + 2R, ... of that,
 * and stops after as many as make an epoch of plain training together, rounded down to a multiple of 256 images. So an epoch with 3
 * repeats shows a third of the images. As DeiT's RASampler. Hoffer et al. 2019, https://arxiv.org/abs/1901.09335; Berman et al. 2019,
 * https://arxiv.org/abs/1902.05509
 *
 * One device does the work of R replicas by cutting its batch into R shards, each with the positions of one replica and mixed on its own:
 * with one shard the copies of an image are neighbours in a batch, with R >= repeats they are apart.
 */

export interface Repeats {
  /** Copies of each image; 1: all images once. */
  readonly repeats: number;
  /** Number of replicas, R. */
  readonly replicas: number;
}

const ROUND = 256;

/** Number of positions of each replica in an epoch. Without repeats, or with less than 256 images, nothing is rounded to 256. */
export function replicaLength(count: number, { repeats, replicas }: Repeats): number {
  for (const [name, v] of [
    ["count", count],
    ["repeats", repeats],
    ["replicas", replicas],
  ] as const) {
    if (!Number.isInteger(v) || v < 1) throw new Error(`sampler: expected ${name} to be a positive integer, got ${v}`);
  }
  const kept = repeats === 1 || count < ROUND ? count : count - (count % ROUND);
  return Math.floor(kept / replicas);
}

/** The images replica `rank` sees, from the epoch's permutation `order`. */
export function replicaIndices(order: Uint32Array, rank: number, options: Repeats): Uint32Array {
  if (!(rank >= 0 && rank < options.replicas)) throw new Error(`replicaIndices: expected a rank below ${options.replicas}, got ${rank}`);
  const { repeats, replicas } = options;
  return Uint32Array.from({ length: replicaLength(order.length, options) }, (_, i) => order[Math.floor((rank + i * replicas) / repeats)]!);
}

/** Whole batches in an epoch, over all replicas together; the short last one is dropped. */
export function repeatedSteps(count: number, batchSize: number, options: Repeats): number {
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize % options.replicas !== 0) {
    throw new Error(`sampler: expected a batch size that ${options.replicas} shards divide, got ${batchSize}`);
  }
  return Math.floor(replicaLength(count, options) / (batchSize / options.replicas));
}

/** Batch `step`: (batchSize) images and their copy numbers, shard after shard of batchSize / replicas. `order` is the epoch's permutation. */
export function repeatedBatch(
  order: Uint32Array,
  step: number,
  batchSize: number,
  options: Repeats,
): { images: Uint32Array; copies: Uint32Array } {
  const steps = repeatedSteps(order.length, batchSize, options);
  if (!Number.isInteger(step) || step < 0 || step >= steps) {
    throw new Error(`repeatedBatch: expected step below ${steps} (${order.length} images, batch ${batchSize}), got ${step}`);
  }
  const { repeats, replicas } = options;
  const shard = batchSize / replicas;
  const position = (b: number): number => step * batchSize + Math.floor(b / shard) + (b % shard) * replicas;
  return {
    images: Uint32Array.from({ length: batchSize }, (_, b) => order[Math.floor(position(b) / repeats)]!),
    copies: Uint32Array.from({ length: batchSize }, (_, b) => position(b) % repeats),
  };
}
