/** Single operations on the GPU give the CPU's bytes, which are Pillow's to the bit (test/train/augment.test.ts). */
import { philox } from "../../kernels/shared/random.ts";
import { applyOpsOnGpu } from "../../train/augment/apply-gpu.ts";
import { applyOps, type AugmentOp } from "../../train/augment/ops.ts";
import type { Case } from "../../checks/check.ts";
import { difference, GEOMETRIC, picture } from "../augment-checks.ts";
import golden from "../golden/augment.json" with { type: "json" };

/** Their mean lies in the middle of two greys. */
const HALVES = { what: "two greys", image: { height: 1, width: 2, data: Uint8Array.of(10, 10, 10, 11, 11, 11) } };
/** 31 times this lies in the middle of two f32, of which the even one is 128. */
const TIE = 1082401 / 2 ** 18;

const PICTURES = [
  HALVES,
  ...(
    [
      [1, 1],
      [1, 7],
      [7, 1],
      [5, 3],
      [33, 47],
      [32, 32],
    ] as const
  ).flatMap(([height, width], n) =>
    ["noise", "constant", "narrow", "bright", "smooth"].map((kind) => ({
      what: `${kind} ${height}x${width}`,
      image: picture(kind, height, width, n + 1),
    })),
  ),
];

const exact: readonly (readonly AugmentOp[])[] = [
  [{ op: "AutoContrast" }],
  [{ op: "Equalize" }],
  [{ op: "Invert" }],
  [{ op: "hflip" }],
  ...[0, 1, 4, 8].map((bits): AugmentOp[] => [{ op: "Posterize", bits }]),
  ...[0, 26, 127.5, 256].map((threshold): AugmentOp[] => [{ op: "Solarize", threshold }]),
  ...[0, 99, 255].map((add): AugmentOp[] => [{ op: "SolarizeAdd", add }]),
  ...(["Color", "Contrast", "Brightness", "Sharpness"] as const).flatMap((op) =>
    [0, 0.19, 1, 1.81, -0.7, 1e9, TIE].map((factor): AugmentOp[] => [{ op, factor }]),
  ),
  ...[0, 0.1, 1.3, 6].map((radius): AugmentOp[] => [{ op: "GaussianBlur", radius }]),
  ...[90, 180, 270, -360].map((degrees): AugmentOp[] => [{ op: "Rotate", degrees }]),
  [{ op: "resize", height: 9, width: 20 }],
  [{ op: "resizedCrop", top: 0, left: 0, height: 1, width: 1, size: 5 }],
  [{ op: "crop", top: -2, left: 1, height: 6, width: 9, outside: "zero" }],
  [{ op: "crop", top: -3, left: -9, height: 8, width: 13, outside: "reflect" }],
  [{ op: "centerCrop", size: 1 }],
  [
    { op: "resize", height: 11, width: 8 },
    { op: "hflip" },
    { op: "Equalize" },
    { op: "Contrast", factor: 1.4 },
    { op: "resizedCrop", top: 2, left: 1, height: 6, width: 5, size: 7 },
    { op: "AutoContrast" },
  ],
];

const near: readonly (readonly AugmentOp[])[] = [
  ...[27, -13.7, 44.9, 725.5, 90.5].map((degrees): AugmentOp[] => [{ op: "Rotate", degrees }]),
  ...[0.27, -0.3, 0].flatMap((factor): AugmentOp[][] => [[{ op: "ShearX", factor }], [{ op: "ShearY", factor }]]),
  ...[0.405, -0.13, 0.5, 0].flatMap((fraction): AugmentOp[][] => [
    [{ op: "TranslateXRel", fraction }],
    [{ op: "TranslateYRel", fraction }],
  ]),
];

/** `ops` on every picture; of those that move pixels between others, single ones may be off by a level. */
async function onPictures(ops: readonly AugmentOp[], most: number): Promise<void> {
  let [differing, bytes] = [0, 0];
  for (const { what, image } of PICTURES) {
    const expected = applyOps(image, ops);
    const found = difference(await applyOpsOnGpu(image, ops), expected);
    differing += found.count;
    bytes += expected.data.length;
    if (found.most > most) throw new Error(`${what}: expected differences of at most ${most}, got ${found.most} in ${found.count} bytes`);
  }
  if (differing > 0.01 * bytes) throw new Error(`expected at most 1 % of ${bytes} bytes to differ, got ${differing}`);
}

const named = (ops: readonly AugmentOp[]): string =>
  ops.map(({ op, ...fields }) => `${op} ${Object.values(fields).join(" ")}`.trim()).join(", ");

export const cases: Case[] = [
  ...exact.map((ops): Case => ({ name: `augment: ${named(ops)}, no byte differs from the CPU`, run: () => onPictures(ops, 0) })),
  ...near.map((ops): Case => ({ name: `augment: ${named(ops)}, within a level of the CPU`, run: () => onPictures(ops, 1) })),
  {
    name: "augment: AutoContrast of any lowest and highest value, rounded as in f64",
    async run() {
      // Three channels, three pairs: every value between, so also those that the stretch maps to whole numbers.
      for (let n = 0; n < 40; n++) {
        const ends = [0, 1, 2].map((c): [number, number] => {
          const [a, b] = philox([n, c, 0, 0], [5, 0]);
          return [a % 254, (a % 254) + 1 + (b % (255 - (a % 254)))];
        });
        const image = {
          height: 1,
          width: 256,
          data: Uint8Array.from({ length: 768 }, (_, i) => Math.min(ends[i % 3]![1], Math.max(ends[i % 3]![0], Math.floor(i / 3)))),
        };
        const { count } = difference(await applyOpsOnGpu(image, [{ op: "AutoContrast" }]), applyOps(image, [{ op: "AutoContrast" }]));
        if (count > 0) throw new Error(`${ends.join(" and ")}: expected the CPU's bytes, got ${count} others`);
      }
    },
  },
  {
    name: "augment: whole outputs of Pillow",
    async run() {
      for (const [[kind, height, width, k], ops, h, w, bytes] of golden.full as unknown as [
        [string, number, number, number],
        AugmentOp[],
        number,
        number,
        string,
      ][]) {
        const got = await applyOpsOnGpu(picture(kind, height, width, k), ops);
        const { most } = difference(got, { height: h, width: w, data: Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)) });
        if (most > (ops.some(({ op }) => GEOMETRIC.test(op)) ? 1 : 0))
          throw new Error(`${named(ops)} on ${kind} ${height}x${width}: expected Pillow's bytes, got differences of ${most}`);
      }
    },
  },
];
