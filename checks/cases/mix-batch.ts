import { Tensor } from "../../engine/tensor.ts";
import { encodeMix, mixImages, mixLabels, type MixRecord } from "../../kernels/augment/mix-batch.ts";
import { close, refuses, uniform, type Case } from "../check.ts";

const mixup = (lam: number): MixRecord => ({ lam, share: lam, box: [0, 0, 0, 0] });
const cutmix = (share: number, ...box: [number, number, number, number]): MixRecord => ({ lam: 1, share, box });
const NONE = mixup(1);

const encoded = (records: readonly MixRecord[]) => Tensor.from(encodeMix(records), [records.length, 6], "u32");

/** y_b of one element: its own value, its partner's, and where it lies. */
function mixed({ lam, box: [y0, y1, x0, x1] }: MixRecord, own: number, other: number, row: number, column: number): number {
  if (row >= y0 && row < y1 && column >= x0 && column < x1) return other;
  return Math.fround(lam) * own + (1 - Math.fround(lam)) * other;
}

async function checkImages([B, C, H, W]: [number, number, number, number], records: readonly MixRecord[], groupSize = B): Promise<void> {
  const x = uniform(B * C * H * W, 3).map(Math.fround);
  const got = await mixImages(Tensor.from(x, [B, C, H, W]), encoded(records), { groupSize }).floats();
  const per = C * H * W;
  for (let i = 0; i < x.length; i++) {
    const b = Math.floor(i / per);
    const expected = mixed(records[b]!, x[i]!, x[partner(b, groupSize) * per + (i % per)]!, Math.floor(i / W) % H, i % W);
    close(`y[${i}]`, got[i]!, expected, 1e-6);
  }
}

/** Of images b0 … b0 + groupSize - 1 the first is mixed with the last. */
const partner = (b: number, groupSize: number): number => b - (b % groupSize) + (groupSize - 1 - (b % groupSize));

export const cases: Case[] = [
  ...(
    [
      {
        why: "each image its own way, in an odd batch whose middle is its own partner",
        shape: [5, 3, 6, 7],
        records: [mixup(0.3), cutmix(0.8, 1, 4, 2, 7), NONE, mixup(0), cutmix(0, 0, 6, 0, 7)],
      },
      {
        why: "rows of whole vectors, boxes that cut through them",
        shape: [4, 2, 5, 12],
        records: [cutmix(0.9, 0, 5, 3, 6), cutmix(0.5, 2, 3, 0, 12), mixup(0.25), cutmix(1, 3, 3, 5, 5)],
      },
      {
        why: "two parts of a batch, each on its own",
        shape: [6, 2, 3, 8],
        groupSize: 3,
        records: [mixup(0.3), cutmix(0.8, 1, 3, 2, 7), NONE, mixup(0.9), mixup(0.1), cutmix(0, 0, 3, 0, 8)],
      },
      {
        why: "parts of two, rows of no whole vectors",
        shape: [4, 1, 3, 5],
        groupSize: 2,
        records: [mixup(0.3), mixup(0.6), cutmix(0.8, 1, 3, 2, 5), mixup(0.2)],
      },
      { why: "one image of one pixel", shape: [1, 1, 1, 1], records: [mixup(0.4)] },
    ] as const
  ).map(({ why, shape, records, ...more }) => ({
    name: `mixImages: ${why}`,
    run: () => checkImages([...shape], records, "groupSize" in more ? more.groupSize : undefined),
  })),
  ...(
    [
      { p: 2, side: 6 },
      { p: 4, side: 8 },
    ] as const
  ).map(
    ({ p, side }): Case => ({
      name: `mixImages: in the layout of ${p} x ${p} patches, the bits of images`,
      async run() {
        const shape = [4, 3, side, side] as const,
          P = (side / p) ** 2,
          K = 3 * p * p;
        const records = encoded([mixup(0.3), cutmix(0.8, 1, 5, 2, 6), NONE, cutmix(0, 0, side, 0, side)]);
        const x = Float32Array.from(uniform(4 * 3 * side * side, 3));
        const toPatches = (images: Float32Array): Float32Array =>
          Float32Array.from(images, (_, i) => {
            const b = Math.floor(i / (P * K)),
              n = Math.floor(i / K) % P,
              k = i % K,
              across = side / p;
            const row = p * Math.floor(n / across) + (Math.floor(k / p) % p),
              column = p * (n % across) + (k % p);
            return images[((b * 3 + Math.floor(k / p / p)) * side + row) * side + column]!;
          });
        const expected = toPatches(await mixImages(Tensor.from(x, shape), records, { groupSize: 2 }).floats());
        const got = await mixImages(Tensor.from(toPatches(x), [4, P, K]), records, { groupSize: 2, patch: p }).floats();
        if (String(got) !== String(expected)) throw new Error("expected the same bits, got others");
      },
    }),
  ),
  {
    name: "mixImages: nothing to mix leaves every bit",
    async run() {
      const x = uniform(2 * 3 * 4 * 4, 3).map((v) => Math.fround(1e-3 * v));
      const got = await mixImages(Tensor.from(x, [2, 3, 4, 4]), encoded([NONE, NONE])).floats();
      if (String(got) !== String(Float32Array.from(x))) throw new Error("expected the same bits, got others");
    },
  },
  {
    name: "mixLabels: shares of each image, smoothed",
    async run() {
      const records = [mixup(0.3), cutmix(0.75, 0, 1, 0, 1), NONE];
      const labels = [2, 0, 1];
      const got = await mixLabels(Tensor.from(labels, [3], "u32"), encoded(records), { classes: 4, smoothing: 0.1 }).floats();
      const smooth = (label: number, k: number) => (label === k ? 0.9 : 0) + 0.1 / 4;
      labels.forEach((label, b) => {
        const { share } = records[b]!;
        for (let k = 0; k < 4; k++)
          close(`t[${b},${k}]`, got[4 * b + k]!, share * smooth(label, k) + (1 - share) * smooth(labels[2 - b]!, k), 1e-6);
      });
    },
  },
  {
    name: "mixLabels: two parts of a batch, each on its own",
    async run() {
      const records = [0.3, 0.9, 0.2, 0.6].map(mixup);
      const labels = [2, 0, 1, 2];
      const got = await mixLabels(Tensor.from(labels, [4], "u32"), encoded(records), { classes: 3, smoothing: 0, groupSize: 2 }).floats();
      labels.forEach((label, b) => {
        const { share } = records[b]!;
        for (let k = 0; k < 3; k++)
          close(`t[${b},${k}]`, got[3 * b + k]!, share * Number(label === k) + (1 - share) * Number(labels[partner(b, 2)] === k), 1e-6);
      });
    },
  },
  {
    name: "mixImages, mixLabels: refuse records and images that do not fit",
    async run() {
      await refuses(
        () => mixImages(Tensor.zeros([2, 3]), encoded([NONE, NONE])),
        /mixImages: expected images \[B,C,H,W\] without gradient, got \[2,3\]/,
      );
      await refuses(
        () => mixImages(Tensor.zeros([2, 3, 12]), encoded([NONE, NONE]), { patch: 2 }),
        /mixImages: expected patches \[B,P,C\*2\*2\] of square images, got \[2,3,12\]/,
      );
      await refuses(
        () => mixImages(Tensor.zeros([2, 3, 4, 4]), encoded([NONE])),
        /mixImages: expected u32 records \[2,6\], got u32 \[1,6\]/,
      );
      await refuses(
        () => mixLabels(Tensor.zeros([2]), encoded([NONE, NONE]), { classes: 3, smoothing: 0 }),
        /mixLabels: expected u32 labels \[B\], got f32 \[2\]/,
      );
      await refuses(
        () => mixLabels(Tensor.zeros([2], "u32"), encoded([NONE, NONE]), { classes: 3, smoothing: 2 }),
        /smoothing in \[0, 1\], got 2/,
      );
      await refuses(
        () => mixImages(Tensor.zeros([2, 3, 4, 4]), encoded([NONE, NONE]), { groupSize: 3 }),
        /mixImages: expected a groupSize that divides 2 images, got 3/,
      );
      await refuses(
        () => mixLabels(Tensor.zeros([2], "u32"), encoded([NONE, NONE]), { classes: 3, smoothing: 0, groupSize: 0 }),
        /mixLabels: expected a groupSize that divides 2 images, got 0/,
      );
    },
  },
];
