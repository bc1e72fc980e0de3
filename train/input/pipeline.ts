/**
 * Makes batches of images ahead of the step that uses them.
 *
 * Which images a batch holds, and their bytes, follow from the order and the seed alone, whatever the number of workers.
 * At most `ahead` batches exist or are being made, besides the last one handed out. An image that cannot be read or decoded is reported and
 * replaced, with its label, by the next readable image in the epoch's order (after the end, from the beginning).
 */
import type { Batch, EpochEntries, InputOptions, InputStats } from "./options.ts";
import { rawImage, type Prepared } from "./prepare.ts";
import { inMemory, type ImageSource } from "./source.ts";
import { startPreparer, type Preparer } from "./workers.ts";

interface Made {
  readonly batch: Batch;
  readonly corrupt: readonly Corrupt[];
}
interface Corrupt {
  readonly index: number;
  readonly reason: string;
}
interface Entry {
  readonly index: number;
  readonly copy: number;
  readonly image: Prepared;
}

export class InputPipeline {
  /** Batches in an epoch. */
  readonly stepsPerEpoch: number;
  readonly #source: ImageSource;
  readonly #o: InputOptions;
  readonly #preparer: Preparer | null;
  readonly #raw: Parameters<typeof rawImage>[2] | null;
  readonly #ahead: number;
  readonly #queue: Promise<Made>[] = [];
  readonly #bad = new Map<number, string>();
  readonly #reported = new Set<number>();
  readonly #perEpoch: number;
  #order: { epoch: number; entries: EpochEntries };
  #at: { epoch: number; step: number };
  #closed = false;
  #startMs: number | null = null;
  #endMs = 0;
  #waitedMs = 0;
  #images = 0;

  constructor(source: ImageSource, options: InputOptions) {
    const { batchSize, workers = 0, ahead = 2, start = { epoch: 0, step: 0 }, keepLast = false, maxCorrupt = 0.01 } = options;
    for (const [name, value, least] of [
      ["batchSize", batchSize, 1],
      ["workers", workers, 0],
      ["ahead", ahead, 1],
    ] as const) {
      if (!Number.isInteger(value) || value < least)
        throw new Error(`input: expected ${name} to be an integer of at least ${least}, got ${value}`);
    }
    if (!(maxCorrupt >= 0 && maxCorrupt <= 1)) throw new Error(`input: expected maxCorrupt to be a share from 0 to 1, got ${maxCorrupt}`);
    this.#source = source;
    this.#o = options;
    this.#ahead = ahead;
    this.#at = { ...start };
    this.#order = { epoch: start.epoch, entries: options.order(start.epoch) };
    this.#perEpoch = this.#order.entries.images.length;
    this.stepsPerEpoch = keepLast ? Math.ceil(this.#perEpoch / batchSize) : Math.floor(this.#perEpoch / batchSize);
    if (this.stepsPerEpoch === 0) throw new Error(`input: expected at least a batch of ${batchSize} images, got ${this.#perEpoch}`);
    if (!Number.isInteger(start.step) || start.step < 0 || start.step > this.stepsPerEpoch)
      throw new Error(`input: expected to start at a step from 0 to ${this.stepsPerEpoch}, got ${start.step}`);
    if (start.step === this.stepsPerEpoch) this.#at = { epoch: start.epoch + 1, step: 0 };
    // Unaugmented images of one size in memory are only copied, in this thread.
    const { prepare } = options;
    const uniform = source.shape !== null && source.count > 0 && inMemory(source.at(0));
    this.#raw = uniform && (prepare.kind === "decode" || prepare.kind === "draw") ? prepare : null;
    this.#preparer = this.#raw ? null : startPreparer(options.platform, prepare, workers);
    this.#fill();
  }

  /** The next batch. Rejects past the last epoch, when too many images are corrupt, and after `close`. */
  async next(): Promise<Batch> {
    if (this.#closed) throw new Error("input: the pipeline was closed");
    const fromMs = performance.now();
    this.#startMs ??= fromMs;
    const first = this.#queue.shift() ?? this.#start();
    if (!first)
      throw new Error(`input: expected at most ${this.#o.epochs} epochs of ${this.stepsPerEpoch} batches to be asked for, got one more`);
    const { batch, corrupt } = await first;
    this.#fill();
    // Reported here, not where it was found, so that the same batch reports it for any number of batches ahead.
    for (const c of corrupt) this.#report(c);
    this.#endMs = performance.now();
    this.#waitedMs += this.#endMs - fromMs;
    this.#images += batch.images.length;
    return batch;
  }

  get stats(): InputStats {
    const totalMs = this.#startMs === null ? 0 : this.#endMs - this.#startMs;
    return {
      images: this.#images,
      totalMs,
      waitedMs: this.#waitedMs,
      imagesPerSecond: totalMs > 0 ? (this.#images * 1000) / totalMs : 0,
      corrupt: this.#reported.size,
    };
  }

  /** Ends the workers; batches on their way are dropped. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#queue.length = 0;
    await this.#preparer?.close();
  }

  /** Starts the batches that may be made ahead; none for a set in memory that is only copied. */
  #fill(): void {
    while (this.#preparer && !this.#closed && this.#queue.length < this.#ahead) {
      const making = this.#start();
      if (!making) return;
      making.catch(() => undefined); // `next` reports it
      this.#queue.push(making);
    }
  }

  /** Starts the batch after the last one that was started; null past the last epoch. */
  #start(): Promise<Made> | null {
    const { epoch, step } = this.#at;
    if (this.#o.epochs !== undefined && epoch >= this.#o.epochs) return null;
    this.#at = step + 1 < this.stepsPerEpoch ? { epoch, step: step + 1 } : { epoch: epoch + 1, step: 0 };
    return this.#make(epoch, step);
  }

  #entries(epoch: number): EpochEntries {
    if (this.#order.epoch !== epoch) this.#order = { epoch, entries: this.#o.order(epoch) };
    const { entries } = this.#order;
    if (entries.images.length !== this.#perEpoch)
      throw new Error(`input: expected ${this.#perEpoch} entries in epoch ${epoch}, got ${entries.images.length}`);
    return entries;
  }

  async #make(epoch: number, step: number): Promise<Made> {
    const entries = this.#entries(epoch);
    const from = step * this.#o.batchSize;
    const to = Math.min(from + this.#o.batchSize, this.#perEpoch);
    const corrupt = new Map<number, Corrupt>();
    const made = await Promise.all(Array.from({ length: to - from }, (_, k) => this.#entry(entries, from + k, epoch, corrupt)));
    return { batch: pack(this.#source, made, epoch, step), corrupt: [...corrupt.values()].sort((a, b) => a.index - b.index) };
  }

  /** Entry `position` of the order, or the next good one. */
  async #entry(entries: EpochEntries, position: number, epoch: number, corrupt: Map<number, Corrupt>): Promise<Entry> {
    for (let k = 0; k < entries.images.length; k++) {
      const p = (position + k) % entries.images.length;
      const index = entries.images[p]!;
      const copy = entries.copies?.[p] ?? 0;
      if (!Number.isInteger(index) || index < 0 || index >= this.#source.count)
        throw new Error(`input: expected an image below ${this.#source.count} at entry ${p} of epoch ${epoch}, got ${index}`);
      let reason = this.#bad.get(index);
      if (reason === undefined) {
        const at = this.#source.at(index);
        if (this.#raw && inMemory(at)) return { index, copy, image: rawImage(at, { image: index, copy, epoch }, this.#raw) };
        const outcome = await this.#preparer!.run({ at, image: index, copy, epoch });
        if ("data" in outcome) return { index, copy, image: outcome };
        reason = outcome.corrupt;
        this.#bad.set(index, reason);
      }
      corrupt.set(index, { index, reason });
    }
    throw new Error(
      `input: expected an image that can be decoded among ${entries.images.length}, got none; ${this.#source.name(entries.images[0]!)}: ${this.#bad.get(entries.images[0]!)}`,
    );
  }

  #report({ index, reason }: Corrupt): void {
    if (this.#reported.has(index)) return;
    this.#reported.add(index);
    const name = this.#source.name(index);
    this.#o.onCorrupt?.({ index, name, reason });
    const most = Math.floor((this.#o.maxCorrupt ?? 0.01) * this.#source.count);
    if (this.#reported.size > most)
      throw new Error(
        `input: expected at most ${most} of ${this.#source.count} images corrupt, got ${this.#reported.size}, the last ${name}: ${reason}`,
      );
  }
}

function pack(source: ImageSource, made: readonly Entry[], epoch: number, step: number): Batch {
  const of = (f: (entry: Entry) => number): Uint32Array => Uint32Array.from(made, f);
  const offsets = new Uint32Array(made.length);
  let size = 0;
  made.forEach(({ image }, k) => {
    offsets[k] = size;
    size += image.data.length;
  });
  const bytes = new Uint8Array(size);
  made.forEach(({ image }, k) => bytes.set(image.data, offsets[k]));
  return {
    epoch,
    step,
    bytes,
    offsets,
    heights: of((e) => e.image.height),
    widths: of((e) => e.image.width),
    images: of((e) => e.index),
    copies: of((e) => e.copy),
    labels: of((e) => source.label(e.index)),
    records: made.map((e) => e.image.record),
  };
}
