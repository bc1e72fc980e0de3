/** Augmentation of batches on the GPU gives what the CPU gives: whole recipes, the layout of patches, noise, and refusals. */
import { scope } from "../../engine/memory.ts";
import { Random } from "../../kernels/shared/random.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { augmentCrop } from "../../kernels/augment/crop.ts";
import { augmentFinish, encodeErasing, ERASE_MODES } from "../../kernels/augment/finish.ts";
import { augmentOp } from "../../kernels/augment/pixel-op.ts";
import { toPlanes } from "../../models/images/preprocess.ts";
import { applyOpsOnGpu } from "../../train/augment/apply-gpu.ts";
import { BatchAugment } from "../../train/augment/batch.ts";
import { eraseBoxes, type EraseBox } from "../../train/augment/erasing.ts";
import { applyOps } from "../../train/augment/ops.ts";
import { makeAugment, sampleImage, type AugmentFields, type ImageRecord } from "../../train/augment/sample.ts";
import { close, refuses, type Case } from "../../checks/check.ts";
import { difference, GEOMETRIC, picture } from "../augment-checks.ts";

/** Of noise: a logarithm, a root and a series in f32. */
const NOISE = 5e-6;
const NORMALIZATION = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/** A batch as the pipeline gives it: images of several sizes, what is drawn for each, and what the CPU makes of them. */
function batchOf(fields: AugmentFields, sizes: readonly (readonly [number, number])[], seed: number) {
  const settings = makeAugment(fields);
  const images = sizes.map(([height, width], n) => picture(["smooth", "noise", "narrow", "bright"][n % 4]!, height, width, n));
  const records = images.map((image, n) => sampleImage(settings, image, { seed, epoch: 1, image: n, copy: 0 }));
  const planes = images.map(toPlanes);
  const lengths = planes.map(({ length }) => length);
  const offsets = Uint32Array.from(lengths, (_, n) => lengths.slice(0, n).reduce((a, b) => a + b, 0));
  const bytes = new Uint8Array(lengths.reduce((a, b) => a + b, 0));
  planes.forEach((plane, n) => bytes.set(plane, offsets[n]));
  const raw = {
    bytes,
    offsets,
    heights: Uint32Array.from(images, (i) => i.height),
    widths: Uint32Array.from(images, (i) => i.width),
    records,
  };
  return { settings, records, raw, expected: images.map((image, n) => applyOps(image, records[n]!.ops)) };
}

const interpolates = ({ ops }: ImageRecord): boolean => ops.some(({ op }) => GEOMETRIC.test(op));

/** The whole of a recipe's augmentation, in one batch twice over: what is left from the first batch must not show in the second. */
async function onBatch(fields: AugmentFields, sizes: readonly (readonly [number, number])[]): Promise<void> {
  const size = fields.size;
  const stretch = Math.max(...sizes.flat()) / size;
  const first = batchOf(fields, sizes, 1);
  const gpu = new BatchAugment(first.settings, {
    count: sizes.length,
    bytes: first.raw.bytes.length,
    stretch,
    normalization: NORMALIZATION,
  });
  for (const { raw, records, expected } of [first, batchOf(fields, sizes, 2)]) {
    gpu.write(raw);
    const [pixels, x] = scope(() => [gpu.pixels(), gpu.launch()]);
    const [words, floats] = (await readAll([pixels!, x!])) as [Uint32Array, Float32Array];
    pixels!.dispose();
    x!.dispose();
    let differing = 0;
    expected.forEach((image, n) => {
      const found = {
        height: size,
        width: size,
        data: Uint8Array.from(image.data, (_, i) => words[n * size * size + Math.floor(i / 3)]! >>> (8 * (i % 3))),
      };
      const { count, most } = difference(found, image);
      differing += count;
      if (count > 0 && !interpolates(records[n]!))
        throw new Error(`image ${n}: expected the CPU's bytes, got ${count} others (${JSON.stringify(records[n]!.ops)})`);
      // A level less before the image is stretched or coloured may be more after.
      if (most > 40) throw new Error(`image ${n}: expected differences of a few levels, got ${most} (${JSON.stringify(records[n]!.ops)})`);
      // Of the GPU's own bytes: what normalisation and erasing make of them.
      const planes = toPlanes(found);
      const wanted = Float32Array.from(
        planes,
        (v, i) => (v / 255 - NORMALIZATION.mean[Math.floor(i / size / size)]!) / NORMALIZATION.std[Math.floor(i / size / size)]!,
      );
      eraseBoxes(wanted, [3, size, size], records[n]!.erase);
      const erased = (i: number): boolean =>
        records[n]!.erase.some(({ top, left, height, width }) => {
          const [y, x] = [(Math.floor(i / size) % size) - top, (i % size) - left];
          return y >= 0 && y < height && x >= 0 && x < width;
        });
      wanted.forEach((v, i) =>
        close(`image ${n}, element ${i}`, floats[n * wanted.length + i]!, v, erased(i) ? NOISE * (1 + Math.abs(v)) : 1e-6),
      );
    });
    if (differing > 0.01 * words.length)
      throw new Error(`expected at most 1 % of pixels to differ, got ${differing} bytes in ${words.length} pixels`);
  }
  gpu.dispose();
}

export const cases: Case[] = [
  ...(
    [
      {
        why: "the paper's recipe",
        fields: { size: 24 },
        sizes: [
          [40, 31],
          [24, 24],
          [17, 60],
          [9, 9],
          [33, 47],
          [1, 1],
        ],
      },
      {
        why: "small images, several boxes",
        fields: { size: 15, crop: { kind: "padded" }, erasing: { prob: 1, mode: "rand", count: 4 } },
        sizes: [
          [15, 15],
          [15, 15],
          [15, 15],
        ],
      },
      {
        why: "3-Augment and the simple crop",
        fields: { size: 16, autoAugment: "3a", crop: { kind: "simple" }, erasing: { prob: 1, mode: "const" } },
        sizes: [
          [20, 31],
          [16, 16],
          [40, 22],
          [13, 13],
          [19, 19],
        ],
      },
      {
        why: "AutoAugment, noise in every image",
        fields: { size: 16, autoAugment: "original-mstd0.5", erasing: { prob: 1, count: 2 } },
        sizes: [
          [16, 20],
          [30, 16],
          [16, 16],
          [21, 22],
        ],
      },
      {
        why: "colour jitter alone, nothing cropped",
        fields: { size: 13, autoAugment: null, crop: { kind: "none" }, colorJitter: 0.6 },
        sizes: [
          [13, 13],
          [13, 13],
          [13, 13],
        ],
      },
      {
        why: "nothing at all",
        fields: { size: 13, autoAugment: null, crop: { kind: "none" }, colorJitter: 0, hflip: 0, erasing: { prob: 0 } },
        sizes: [[13, 13]],
      },
    ] satisfies { why: string; fields: AugmentFields; sizes: [number, number][] }[]
  ).map(({ why, fields, sizes }): Case => ({ name: `augment: a batch, ${why}`, run: () => onBatch(fields, sizes) })),
  {
    name: "augment: ends in the layout of patches, the bits of images",
    async run() {
      const boxes = Tensor.from(encodeErasing([[], [{ top: 1, left: 2, height: 3, width: 4, mode: "pixel", seed: 7 }]], 1), [2, 7], "u32");
      const pixels = Tensor.from(
        Uint32Array.from({ length: 2 * 6 * 8 }, (_, i) => Math.imul(i + 1, 2654435761) >>> 8),
        [2, 6, 8],
        "u32",
      );
      const [images, patches] = scope(() => [
        augmentFinish(pixels, boxes, NORMALIZATION),
        augmentFinish(pixels, boxes, { ...NORMALIZATION, patch: 2 }),
      ]);
      if (String(patches!.shape) !== "2,12,12") throw new Error(`expected [2,12,12], got ${String(patches!.shape)}`);
      const [a, b] = (await readAll([images!, patches!])) as [Float32Array, Float32Array];
      b.forEach((v, i) => {
        const [image, n, c, row, column] = [
          Math.floor(i / 144),
          Math.floor(i / 12) % 12,
          Math.floor(i / 4) % 3,
          Math.floor(i / 2) % 2,
          i % 2,
        ];
        const at = ((image * 3 + c) * 6 + 2 * Math.floor(n / 4) + row) * 8 + 2 * (n % 4) + column;
        if (!Object.is(v, a[at]!)) throw new Error(`element ${i}: expected ${a[at]}, got ${v}`);
      });
      for (const t of [images!, patches!, pixels, boxes]) t.dispose();
      await refuses(
        () => augmentFinish(Tensor.zeros([1, 6, 8], "u32"), Tensor.zeros([1, 7], "u32"), { ...NORMALIZATION, patch: 4 }),
        /augmentFinish: expected sides that are multiples of a patch's, got 6 x 8 and 4/,
      );
    },
  },
  {
    name: "augment: noise is the normal numbers of the CPU, element by element",
    async run() {
      const size = 160;
      const box: EraseBox = { top: 3, left: 5, height: 150, width: 151, mode: "pixel", seed: 77 };
      const out = scope(() =>
        augmentFinish(Tensor.zeros([1, size, size], "u32"), Tensor.from(encodeErasing([[box]], 2), [1, 13], "u32"), NORMALIZATION),
      );
      const got = await out.floats();
      out.dispose();
      const expected = new Float32Array(3 * size * size);
      eraseBoxes(expected, [3, size, size], [box]);
      let squares = 0;
      expected.forEach((v, i) => {
        const [y, x] = [Math.floor(i / size) % size, i % size];
        if (y < 3 || y >= 153 || x < 5 || x >= 156) return;
        close(`element ${i}`, got[i]!, v, NOISE * (1 + Math.abs(v)));
        squares += got[i]! ** 2 / (3 * 150 * 151);
      });
      close("variance", squares, 1, 0.02);
      if (new Random(77, 1).normal() === expected[3 * size + 5]) throw new Error("expected the box's own stream");
    },
  },
  {
    name: "augment: refuses what does not fit",
    async run() {
      const image = picture("noise", 4, 5, 1);
      await refuses(() => applyOpsOnGpu({ ...image, height: 5 }, []), /applyOps: expected 75 bytes for 5x5 RGB, got 60/);
      await refuses(() => applyOpsOnGpu(image, [{ op: "centerCrop", size: 5 }]), /centerCrop: expected an image of at least 5x5, got 4x5/);
      await refuses(
        () => applyOpsOnGpu(image, [{ op: "resizedCrop", top: 1, left: 0, height: 4, width: 5, size: 2 }]),
        /resizedCrop: expected a box inside 4x5, got 4x5 at 1, 0/,
      );
      await refuses(
        () => augmentOp(Tensor.zeros([1, 2, 2], "u32"), { records: Tensor.zeros([2, 1, 16], "u32"), slot: 0 }, null, [0, 0, 0]),
        /augmentOp: expected u32 records \[1,more than 0,16\], got u32 \[2,1,16\]/,
      );
      await refuses(
        () =>
          augmentCrop(Tensor.zeros([12], "u8"), {
            sources: Tensor.zeros([1, 3], "u32"),
            bands: Tensor.zeros([1, 3, 3], "i32"),
            height: 2,
            width: 2,
          }),
        /augmentCrop: expected i32 bands \[1,4,2 \+ taps\], got i32 \[1,3,3\]/,
      );
      await refuses(
        () => encodeErasing([[1, 2].map((seed) => ({ top: 0, left: 0, height: 1, width: 1, mode: ERASE_MODES[0], seed }))], 1),
        /expected at most 1 boxes in an image, got 2/,
      );
      const gpu = new BatchAugment(makeAugment({ size: 4, crop: { kind: "none" } }), {
        count: 1,
        bytes: 48,
        stretch: 1,
        normalization: NORMALIZATION,
      });
      const raw = { bytes: new Uint8Array(48), offsets: new Uint32Array(1), heights: Uint32Array.of(4), widths: Uint32Array.of(4) };
      await refuses(() => gpu.write({ ...raw, records: [] }), /augment: expected 1 images, got 0/);
      await refuses(
        () => gpu.write({ ...raw, bytes: new Uint8Array(49), records: [{ ops: [], erase: [] }] }),
        /expected at most 48 bytes of images, got 49/,
      );
      await refuses(
        () => gpu.write({ ...raw, heights: Uint32Array.of(3), records: [{ ops: [], erase: [] }] }),
        /expected operations that lead to 4x4, got 3x4 for image 0/,
      );
      gpu.dispose();
    },
  },
];
