/** Prepares examples for training: opens each once, checks labels, holds back a share of each class. */
import { Random } from "../kernels/shared/random.ts";
import { preprocess, type Preprocessing } from "../models/images/protocols.ts";
import { resize, type RgbImage } from "../models/images/preprocess.ts";
import { BICUBIC } from "../kernels/shared/resample.ts";
import { planar, type ImageSource, type RawImage } from "../train/input/source.ts";
import type { Example, FineTuneOptions } from "./api.ts";
import { ExamplesError } from "./errors.ts";
import { readPicture } from "./pictures.ts";

interface Opened {
  readonly image: RgbImage;
  readonly label: string;
}

export interface Split {
  readonly labels: readonly string[];
  readonly train: readonly Opened[];
  readonly held: readonly Opened[];
}

const HOLDS_BACK = 0x686f6c64; // "hold"

/** The kept copy of a picture has a short side of at most this times the model's input side, so that crops still have pixels to choose from. */
const KEPT = 1.25;

type Given = Iterable<Example> | AsyncIterable<Example>;

/**
 * Opens all examples in order, each at once (a canvas or a video may change a moment later). Throws ExamplesError unless labels and pictures
 * make at least two classes with a picture each.
 */
export async function openExamples(given: Given, size: number, seed: number, o: FineTuneOptions): Promise<Split> {
  const all = await openAll(given, size, o);
  const apart = typeof o.validation === "object" ? await openAll(o.validation, size, o) : null;
  const labels = checkedLabels(all, apart ?? [], o.labels);
  const share = typeof o.validation === "number" ? o.validation : 0.2;
  if (!(share >= 0 && share < 1)) throw new ExamplesError(`fineTune: expected validation from 0 to less than 1, got ${share}`);
  return apart ? { labels, train: all, held: apart } : { labels, ...holdBack(all, labels, share, seed) };
}

async function openAll(given: Given, size: number, { signal, onProgress }: FineTuneOptions): Promise<Opened[]> {
  const opened: Opened[] = [];
  const total = Array.isArray(given) ? given.length : 0;
  for await (const { image, label } of given) {
    signal?.throwIfAborted();
    if (typeof label !== "string" || label === "")
      throw new ExamplesError(
        `fineTune: expected a label for each picture, got ${JSON.stringify(label) ?? "none"} for picture ${opened.length}`,
      );
    opened.push({ image: shrunk(await readPicture(image, signal), Math.ceil(KEPT * size)), label });
    onProgress?.({ phase: "prepare", done: opened.length, total });
  }
  return opened;
}

function shrunk(image: RgbImage, short: number): RgbImage {
  const { width, height } = image;
  const scale = short / Math.min(width, height);
  return scale >= 1 ? image : resize(image, Math.round(height * scale), Math.round(width * scale), BICUBIC);
}

function checkedLabels(train: readonly Opened[], held: readonly Opened[], given: readonly string[] | undefined): readonly string[] {
  const found = new Set(train.map((e) => e.label));
  const labels = given ? [...given] : [...found].sort();
  const fail = (expected: string, got: string): never => {
    throw new ExamplesError(`fineTune: expected ${expected}, got ${got}`);
  };
  if (labels.length < 2) fail("examples of at least two classes", labels.length === 0 ? "none" : `"${labels[0]}" alone`);
  if (new Set(labels).size < labels.length) fail("each label once", JSON.stringify(labels.find((l, i) => labels.indexOf(l) < i)));
  const strange = [...train, ...held].find((e) => !labels.includes(e.label));
  if (strange) fail(`labels among ${labels.join(", ")}`, `"${strange.label}"`);
  const empty = labels.filter((l) => !found.has(l));
  if (empty.length > 0) fail("a picture of each class", `none of ${empty.join(", ")}`);
  return labels;
}

/** Chooses the share to hold back of each class, by the seed; a class keeps at least one picture to learn from. */
function holdBack(all: readonly Opened[], labels: readonly string[], share: number, seed: number): Pick<Split, "train" | "held"> {
  const chosen = new Set<Opened>();
  labels.forEach((label, k) => {
    const own = all.filter((e) => e.label === label);
    const random = new Random(seed, HOLDS_BACK + k);
    const count = Math.min(Math.round(share * own.length), own.length - 1);
    for (let n = 0; n < count; n++) chosen.add(own.splice(random.int(own.length), 1)[0]!);
  });
  return { train: all.filter((e) => !chosen.has(e)), held: all.filter((e) => chosen.has(e)) };
}

/** Opened pictures in their own sizes. */
export const asOpened = (examples: readonly Opened[], labels: readonly string[], signal?: AbortSignal): ImageSource =>
  sourceOf(examples, labels, null, (e) => planar(e.image), signal);

/** Opened pictures preprocessed to the model's input: `size` x `size`. */
export const asSeen = (examples: readonly Opened[], labels: readonly string[], steps: Preprocessing, signal?: AbortSignal): ImageSource =>
  sourceOf(examples, labels, [3, steps.size, steps.size], (e) => planar(preprocess(e.image, steps)), signal);

function sourceOf(
  examples: readonly Opened[],
  labels: readonly string[],
  shape: ImageSource["shape"],
  bytes: (e: Opened) => RawImage,
  signal: AbortSignal | undefined,
): ImageSource {
  const made = examples.map(bytes);
  const numbers = examples.map((e) => labels.indexOf(e.label));
  return {
    count: made.length,
    classes: labels,
    shape,
    label: (i) => numbers[i]!,
    name: (i) => `example ${i} (${examples[i]!.label})`,
    at(i) {
      signal?.throwIfAborted();
      return made[i]!;
    },
  };
}
