/**
 * A training batch augmented on the GPU: bytes and records are written before each run, the launches are always the same.
 *
 * One launch places all images (crop, resize, flip), then each slot applies one operation of every image, and the last normalises and erases.
 * Slots of a kind (tables, blur) that the settings never ask for have no launch of that kind.
 */
import { Tensor } from "../../engine/tensor.ts";
import { augmentBlur } from "../../kernels/augment/blur.ts";
import { augmentCrop, encodeBands, encodeSources } from "../../kernels/augment/crop.ts";
import { augmentFinish, encodeErasing } from "../../kernels/augment/finish.ts";
import { augmentOp } from "../../kernels/augment/pixel-op.ts";
import { encodeOp, WORDS } from "../../kernels/augment/records.ts";
import { augmentTables } from "../../kernels/augment/histogram.ts";
import { isPlacing, needsTables, pixelOp, placement } from "./encode.ts";
import { FILL } from "./geometry.ts";
import type { AugmentOp } from "./ops.ts";
import type { AugmentSettings, ImageRecord } from "./sample.ts";

/** The kinds of operation that the settings may need in a slot. */
interface SlotKind {
  readonly tables: boolean;
  readonly blur: boolean;
}

/** Slots in the order of operations: an auto-augment's, then the jitter's. */
export function slotsOf({ autoAugment, colorJitter }: AugmentSettings): SlotKind[] {
  const jitter = new Array<SlotKind>(colorJitter > 0 ? 3 : 0).fill({ tables: true, blur: false });
  if (!autoAugment) return jitter;
  if (autoAugment.kind === "rand") return [...new Array<SlotKind>(autoAugment.layers).fill({ tables: true, blur: false }), ...jitter];
  // A skipped layer moves the next one up, so every slot may get any of the policies' operations.
  const { policies } = autoAugment;
  const may = (names: RegExp): boolean => policies.some((policy) => policy.some(({ name }) => names.test(name)));
  const kind = { tables: may(/^(AutoContrast|Equalize|Contrast)/), blur: may(/^GaussianBlur/) };
  const layers = Math.max(...policies.map(({ length }) => length));
  return [...new Array<SlotKind>(layers).fill(kind), ...jitter];
}

/** Number of source rows or columns that an output row or column may be made of. */
export const tapsOf = ({ crop: { kind } }: AugmentSettings, stretch: number): number =>
  kind === "padded" || kind === "none" ? 1 : Math.floor(4 * Math.max(1, stretch)) + 2;

/** Input of `write`; the input pipeline's `Batch` is one. */
export interface RawBatch {
  /** Every image (3, height, width), one after the other. */
  readonly bytes: Uint8Array;
  readonly offsets: Uint32Array;
  readonly heights: Uint32Array;
  readonly widths: Uint32Array;
  /** Operations and boxes of each. */
  readonly records: readonly ImageRecord[];
}

interface BatchOptions {
  readonly count: number;
  /** Most bytes of all sources together; and most times that a source's side may exceed the output's. */
  readonly bytes: number;
  readonly stretch: number;
  readonly normalization: { readonly mean: readonly number[]; readonly std: readonly number[] };
}

export class BatchAugment {
  readonly #settings: AugmentSettings;
  readonly #o: BatchOptions;
  readonly #slots: readonly SlotKind[];
  readonly #taps: number;
  readonly #images: Tensor;
  readonly #sources: Tensor;
  readonly #bands: Tensor;
  readonly #records: Tensor;
  readonly #boxes: Tensor;

  constructor(settings: AugmentSettings, options: BatchOptions) {
    const { count, bytes, stretch } = options;
    this.#settings = settings;
    this.#o = options;
    this.#slots = slotsOf(settings);
    this.#taps = tapsOf(settings, stretch);
    this.#images = Tensor.zeros([bytes], "u8");
    this.#sources = Tensor.zeros([count, 3], "u32");
    this.#bands = Tensor.zeros([count, 2 * settings.size, 2 + this.#taps], "i32");
    this.#records = Tensor.zeros([count, Math.max(1, this.#slots.length), WORDS], "u32");
    this.#boxes = Tensor.zeros([count, 1 + 6 * settings.erasing.count], "u32");
  }

  /** Recorded: (count, 3, size, size), normalised; with `patch` p in the layout of patches, (count, P, 3 p p). */
  launch(patch?: number): Tensor {
    return augmentFinish(this.pixels(), this.#boxes, { ...this.#o.normalization, patch });
  }

  /** The same before it is normalised and erased: u32 (count, size, size). */
  pixels(): Tensor {
    const { size } = this.#settings;
    let x = augmentCrop(this.#images, { sources: this.#sources, bands: this.#bands, height: size, width: size });
    this.#slots.forEach(({ tables, blur }, slot) => {
      const at = { records: this.#records, slot };
      x = augmentOp(x, at, tables ? augmentTables(x, at) : null, FILL);
      if (blur) x = augmentBlur(x, at);
    });
    return x;
  }

  write({ bytes, offsets, heights, widths, records }: RawBatch): void {
    const { count } = this.#o;
    if (records.length !== count) throw new Error(`augment: expected ${count} images, got ${records.length}`);
    if (bytes.length > this.#images.size)
      throw new Error(`augment: expected at most ${this.#images.size} bytes of images, got ${bytes.length}`);
    const { size } = this.#settings;
    const words = new Uint32Array(this.#records.size);
    const bands = new Int32Array(this.#bands.size);
    records.forEach(({ ops }, b) => {
      const head = ops.findIndex((op) => !isPlacing(op));
      const placing = head < 0 ? ops : ops.slice(0, head);
      const { down, across } = placement({ height: heights[b]!, width: widths[b]! }, placing);
      if (down.length !== size || across.length !== size)
        throw new Error(`augment: expected operations that lead to ${size}x${size}, got ${down.length}x${across.length} for image ${b}`);
      encodeBands(bands.subarray((b * bands.length) / count, ((b + 1) * bands.length) / count), this.#taps, [...down, ...across]);
      this.#fillSlots(words.subarray((b * words.length) / count, ((b + 1) * words.length) / count), ops.slice(placing.length));
    });
    new Tensor([bytes.length], "u8", this.#images.storage).write(bytes);
    this.#sources.write(encodeSources(Array.from(offsets, (offset, b) => ({ offset, height: heights[b]!, width: widths[b]! }))));
    this.#bands.write(bands);
    this.#records.write(words);
    this.#boxes.write(
      encodeErasing(
        records.map(({ erase }) => erase),
        this.#settings.erasing.count,
      ),
    );
  }

  /** Puts each operation into the next slot that can do it. */
  #fillSlots(words: Uint32Array, ops: readonly AugmentOp[]): void {
    const { size } = this.#settings;
    let slot = 0;
    for (const op of ops) {
      const can = ({ tables, blur }: SlotKind): boolean => (tables || !needsTables(op)) && (blur || op.op !== "GaussianBlur");
      while (slot < this.#slots.length && !can(this.#slots[slot]!)) slot++;
      if (slot === this.#slots.length)
        throw new Error(`augment: expected operations that ${slot} slots can do, got ${ops.map((o) => o.op).join(", ")}`);
      encodeOp(words, WORDS * slot++, pixelOp(op, { height: size, width: size }));
    }
  }

  dispose(): void {
    for (const t of [this.#images, this.#sources, this.#bands, this.#records, this.#boxes]) t.dispose();
  }
}
