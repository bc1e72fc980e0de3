/**
 * A model of the time that launches take on an H100. Products: waves of workgroups, each as long as its steps along K and a start. Everything
 * else: bytes by bandwidth. Constants are fitted to nine f32 products and to the tiles on tensor cores that were measured
 * (bench/results/steps/h100-last); what has not been measured is said so. It reproduces those products within 2.5 % and DeiT's f32 training
 * steps, of the launches that they had when they were measured (measured.ts), within 2.2 (Ti), 3.2 (S) and 0.3 % (B); in f16 expect 20 %.
 */
import type { PaperLaunch, PaperProduct } from "./launches.ts";
import { MEASURED, measuredLaunches } from "./measured.ts";

/** Bytes per second of kernels that stream, and seconds between launches that depend on each other. */
const BANDWIDTH = 2.6e12;
const GAP = 2e-6;
const CORES = 132;

interface Speed {
  /** TFLOP/s of whole tiles that fill the GPU. */
  readonly tflops: number;
  /** Workgroups that run at once. */
  readonly slots: number;
}
const speed = (tflops: number, perCore: number): Speed => ({ tflops, slots: CORES * perCore });

const F32: Readonly<Record<string, Speed>> = {
  "128x128": speed(44.6, 2),
  "128x112": speed(32, 2), // a guess, as the next ones
  "128x64": speed(39, 4),
  "104x104": speed(27, 3),
  "104x64": speed(31, 4),
  "64x64": speed(36, 8),
  "32x32": speed(18, 16),
};
const MATRIX: Readonly<Record<string, Speed>> = {
  "128x256": speed(275, 1),
  "256x128": speed(257, 1),
  "128x128": speed(204, 2),
  "128x64": speed(181, 2),
  "128x192": speed(270, 1), // a guess, as the next ones
  "192x128": speed(250, 1),
  "208x208": speed(150, 1),
  "208x64": speed(120, 2),
  "64x208": speed(120, 2),
  "64x64": speed(120, 4),
  "32x32": speed(50, 8),
};
/** A tile's beginning and end, in steps of one along K. */
const START = { f32: 65, matrix: 96 };
/** Times of f32 products without loads of 16 bytes, of batches of small ones, and with sums of A, over those of plain ones; measured. */
const NARROW = 1 / 0.85,
  BATCHED = 0.84,
  WITH_SUMS = 1.06;

/**
 * Waves that were paid for: cut products lose less in the last one than whole ones, and small tiles nothing. Measured on an H200, with
 * what this makes of it: 50432x192x768 by 128x64, 2.24 waves, 37.7 TFLOP/s (35.8 here); by 64x64, 2.24 waves, 33.9 (33.1).
 */
function waves({ workgroups, splits }: PaperProduct, slots: number): number {
  const filled = workgroups / slots;
  const each = slots / CORES; // a workgroup alone on a core takes as long as one of two
  if (splits > 1) return Math.max(filled / 0.96, Math.min(Math.ceil(filled), filled / 0.8), Math.min(1, 2 / each));
  return filled > 1 && each >= 4 ? filled : Math.ceil(filled);
}

function speedOf({ bm, bn, onMatrices }: PaperProduct): Speed {
  const known = (onMatrices ? MATRIX : F32)[`${bm}x${bn}`];
  if (!known) throw new Error(`roofline: expected a tile of known speed, got ${bm}x${bn}`);
  return known;
}

/** Waves of workgroups that a product fills. */
export const wavesOfProduct = (p: PaperProduct): number => p.workgroups / speedOf(p).slots;

function productSeconds(p: PaperProduct): number {
  const { bm, bn, onMatrices } = p;
  const known = speedOf(p);
  const factor = onMatrices ? 1 : (p.vec ? 1 : NARROW) * (p.matrices > 1 ? BATCHED : 1) * (p.sums ? WITH_SUMS : 1);
  const steps = p.K / p.splits + (onMatrices ? START.matrix : START.f32);
  const compute = waves(p, known.slots) * ((2 * bm * bn * steps * known.slots) / (known.tflops * 1e12)) * factor;
  if (!onMatrices) return compute + GAP;
  const bytes = p.matrices * ((p.M * p.K + p.N * p.K) * p.inputBytes + p.M * p.N * p.outputBytes * p.splits);
  // What of the shorter is not hidden behind the longer.
  const memory = bytes / BANDWIDTH;
  return Math.max(compute, memory) + 0.15 * Math.min(compute, memory) + GAP;
}

/** Of one launch, in seconds. */
export const secondsOf = ({ product, bytes }: PaperLaunch): number => (product ? productSeconds(product) : bytes / BANDWIDTH + GAP);

/** PyTorch eager's images/s on the same H100, batch 256 (bench/results/steps/h100-last/torch.json): f32 with TF32 off, and bf16. */
export const PYTORCH = {
  deit_tiny_patch16_224: { f32: 256 / 0.0819, f16: 7255 },
  deit_small_patch16_224: { f32: 256 / 0.2013, f16: 5061 },
  deit_base_patch16_224: { f32: 256 / 0.6252, f16: 2549 },
} as const;

/** Measured over modelled time of f32 training, of the launches that were measured: what the model is wrong by. Not known in f16. */
export function f32Correction(model: keyof typeof MEASURED): number {
  const measured = MEASURED[model];
  return measured.seconds / measuredLaunches(measured).reduce((sum, launch) => sum + secondsOf(launch), 0);
}
