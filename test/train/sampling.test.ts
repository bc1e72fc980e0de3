/** Sampling against timm and torchvision: the same random numbers give the same operations and boxes, and use as many. */
import { describe, expect, test } from "vitest";
import { parseAutoAugment, sampleAutoAugment } from "../../train/augment/auto-augment.ts";
import { sampleColorJitter } from "../../train/augment/color-jitter.ts";
import { eraseBoxes, sampleErasing, type EraseBox } from "../../train/augment/erasing.ts";
import { LEVELS, sampleOp, type LevelName } from "../../train/augment/levels.ts";
import { applyOps, parseOps, type AugmentOp } from "../../train/augment/ops.ts";
import { parseRandAugment, RAND_INCREASING_OPS, RAND_OPS, sampleRandAugment } from "../../train/augment/rand-augment.ts";
import { sampleCrop, sampleResizedCrop } from "../../train/augment/random-crop.ts";
import { makeAugment, sampleImage, type AugmentFields, type AugmentSettings, type ImagePlace } from "../../train/augment/sample.ts";
import { recording, replay } from "./recorded.ts";

/** As the recording has them. Eight bits are all: timm does not call Pillow for them. */
const calls = (ops: readonly AugmentOp[]) => ops.filter((op) => !(op.op === "Posterize" && op.bits === 8)).map((op) => Object.values(op));

describe("against timm", () => {
  test("every operation's argument at every level", () => {
    expect(new Set(recording.levels.map(([name]) => name))).toEqual(new Set(Object.keys(LEVELS)));
    for (const [name, m, drawn, expected] of recording.levels) {
      const draws = replay(drawn);
      const op = sampleOp(name as LevelName, 1, m, { std: 0, max: 30 }, draws);
      expect(calls([op!]), `${name} at ${m}`).toEqual(expected);
      expect(draws.left()).toBe(0);
    }
  });

  test("the policies' tables", () => {
    for (const [name, policies] of Object.entries(recording.policies)) {
      expect(
        parseAutoAugment(name).policies.map((policy) => policy.map(({ name, prob, magnitude }) => [name, prob, magnitude])),
        name,
      ).toEqual(policies);
    }
    expect(Object.keys(recording.policies)).toHaveLength(5);
  });

  test("RandAugment's, AutoAugment's and 3-Augment's operations", () => {
    for (const [text, drawn, expected] of recording.auto) {
      const draws = replay(drawn);
      const ops = text.startsWith("rand")
        ? sampleRandAugment(parseRandAugment(text), draws)
        : sampleAutoAugment(parseAutoAugment(text), draws);
      expect(calls(ops), `${text} from ${drawn.join(" ")}`).toEqual(expected);
      expect(draws.left(), text).toBe(0);
    }
  });

  test("RandomResizedCrop's boxes, the fallback's among them", () => {
    for (const [height, width, scale, ratio, drawn, expected] of recording.crops) {
      const draws = replay(drawn);
      const box = sampleResizedCrop({ height, width }, scale, ratio, draws);
      expect([box.top, box.left, box.height, box.width], `${height}x${width}`).toEqual(expected);
      expect(draws.left()).toBe(0);
    }
    expect(recording.crops.filter(([, , , , drawn]) => drawn.length === 20).length).toBeGreaterThan(5);
  });

  test("erasing's boxes", () => {
    for (const [prob, count, height, width, drawn, expected] of recording.erasing) {
      const draws = replay(drawn);
      const boxes = sampleErasing({ prob, count }, height, width, draws);
      expect(
        boxes.map((box) => [box.top, box.left, box.height, box.width]),
        `${height}x${width}`,
      ).toEqual(expected);
      expect(draws.left()).toBe(0);
    }
    expect(recording.erasing.filter(([, , , , , boxes]) => boxes.length > 1).length).toBeGreaterThan(50);
  });

  test("erasing's box is smaller than the image on both sides: one as wide or as high is drawn again", () => {
    // On 32x32 an area of 0.3 with an aspect of 0.3, or of 1 / 0.3, has sides of 10 and 32; then 13x13 fits.
    const area = (0.3 - 0.02) / (1 / 3 - 0.02);
    for (const aspect of [0, 1]) {
      const draws = replay([0, area, aspect, 0.5, 0.5, 0.25, 0.75]);
      expect(sampleErasing({ prob: 1, count: 1 }, 32, 32, draws)).toEqual([{ top: 5, left: 15, height: 13, width: 13 }]);
      expect(draws.left()).toBe(0);
    }
    // One pixel less is taken.
    expect(sampleErasing({ prob: 1, count: 1 }, 33, 33, replay([0, area * (32 / 33) ** 2, 0, 0, 0]))[0]!.width).toBeLessThan(33);
  });

  test("colour jitter's range and the simple crop's resize are torchvision's", () => {
    for (const [amount, [low, high]] of recording.jitter) {
      const ends = [0, 1].map((u) =>
        sampleColorJitter(amount, { uniform: (a = 0, b = 1) => a + (b - a) * u, int: (n) => n - 1, normal: () => 0 }),
      );
      expect(ends[0]).toEqual(["Brightness", "Contrast", "Color"].map((op) => ({ op, factor: low })));
      expect(ends[1]!.every((op) => "factor" in op && op.factor === high)).toBe(true);
    }
    for (const [height, width, size, [h, w]] of recording.resizes) {
      expect(sampleCrop({ kind: "simple", padding: 4 }, { height, width }, size, replay([0, 0.999]))).toEqual([
        { op: "resize", height: h, width: w },
        { op: "crop", top: -4, left: w + 4 - size, height: size, width: size, outside: "reflect" },
      ]);
    }
  });
});

describe("strings", () => {
  test("RandAugment's sections in any order, with timm's defaults", () => {
    expect(parseRandAugment("rand-m9-mstd0.5-inc1")).toEqual({
      kind: "rand",
      magnitude: 9,
      layers: 2,
      prob: 0.5,
      std: 0.5,
      max: 10,
      increasing: true,
    });
    expect(parseRandAugment("rand")).toEqual({ kind: "rand", magnitude: 10, layers: 2, prob: 0.5, std: 0, max: 10, increasing: false });
    expect(parseRandAugment("rand-p0.25-inc0-mmax20-n3-mstd200-m7")).toEqual({
      kind: "rand",
      magnitude: 7,
      layers: 3,
      prob: 0.25,
      std: Infinity,
      max: 20,
      increasing: false,
    });
  });
  test.each([
    ["rand-m9-w0", /expected no section "w0" \(other sets and weights of operations are not done\) in "rand-m9-w0"/],
    ["rand-tweights", /expected no section "tweights"/],
    ["rand-t3a", /expected no section "t3a"/],
    ["rand-m9.5", /expected an integer after m, got "m9.5"/],
    ["rand-m", /expected an integer after m, got "m"/],
    ["rand-m9-m8", /each once, got "m8"/],
    ["rand-q9", /expected sections m, n, p, mstd, mmax and inc, each once, got "q9"/],
    ["rand-p2", /expected a probability after p, got 2/],
    ["random", /expected "rand" first in "random"/],
    ["v1", /expected rand-..., original, originalr, v0, v0r, 3a, got "v1"/],
    ["augmix-m5", /got "augmix-m5"/],
    ["toString", /got "toString"/],
    ["v0-m9", /expected at most -mstd and a number after v0, got "v0-m9"/],
  ])("refuses %s", (text, message) => expect(() => makeAugment({ size: 32, autoAugment: text })).toThrow(message));
});

const AT: ImagePlace = { seed: 7, epoch: 3, image: 11, copy: 0 };
const SOURCE = { height: 60, width: 80 };
const records = (settings: AugmentSettings, count = 200) =>
  Array.from({ length: count }, (_, image) => sampleImage(settings, SOURCE, { ...AT, image }));
const BYTE_OPS = new Set<string>([...RAND_OPS, ...RAND_INCREASING_OPS, "GaussianBlur"]);

describe("sampleImage", () => {
  const deit = makeAugment({ size: 32 });

  test("depends on seed, epoch, image and copy, and on nothing else", () => {
    const one = sampleImage(deit, SOURCE, AT);
    expect(records(deit)[11]).toEqual(one);
    for (const key of ["seed", "epoch", "image", "copy"] as const)
      expect(sampleImage(deit, SOURCE, { ...AT, [key]: AT[key] + 1 })).not.toEqual(one);
    // The three places are not interchangeable, and none runs into another.
    const places = [
      [0, 0, 1],
      [0, 1, 0],
      [1, 0, 0],
    ].map(([image, epoch, copy]) => JSON.stringify(sampleImage(deit, SOURCE, { seed: 0, image: image!, epoch: epoch!, copy: copy! })));
    expect(new Set(places).size).toBe(3);
  });

  test("an ingredient switched off leaves the others' draws", () => {
    const parts = ({ ops, erase }: ReturnType<typeof sampleImage>) => ({
      crop: ops.filter(({ op }) => op === "resizedCrop"),
      flip: ops.filter(({ op }) => op === "hflip"),
      colour: ops.filter(({ op }) => BYTE_OPS.has(op)),
      erase,
    });
    const base = { size: 32, autoAugment: "3a", colorJitter: 0.3 } as const;
    const all = records(makeAugment(base)).map(parts);
    const without = (fields: Omit<AugmentFields, "size">) => records(makeAugment({ ...base, ...fields })).map(parts);
    const omit = (key: keyof (typeof all)[number]) => all.map((part) => ({ ...part, [key]: [] }));
    expect(without({ hflip: 0 })).toEqual(omit("flip"));
    expect(without({ erasing: { prob: 0 } })).toEqual(omit("erase"));
    expect(without({ colorJitter: 0 }).map(({ colour }) => colour)).toEqual(all.map(({ colour }) => colour.slice(0, 1)));
    expect(without({ autoAugment: null }).map(({ colour }) => colour)).toEqual(all.map(({ colour }) => colour.slice(1)));
    expect(without({ crop: { kind: "padded", padding: 0 } })).toEqual(omit("crop"));
  });

  test("colour jitter is for no auto-augment or 3-Augment", () => {
    expect(makeAugment({ size: 32 }).colorJitter).toBe(0);
    expect(makeAugment({ size: 32, autoAugment: "v0" }).colorJitter).toBe(0);
    expect(makeAugment({ size: 32, autoAugment: null }).colorJitter).toBe(0.3);
    expect(makeAugment({ size: 32, autoAugment: "3a-mstd0.5", colorJitter: 0.4 }).colorJitter).toBe(0.4);
  });

  test.each([
    ["the paper's recipe", {}],
    ["small images", { crop: { kind: "padded" } }],
    ["DeiT III's", { autoAugment: "3a", crop: { kind: "simple" } }],
    ["AutoAugment", { autoAugment: "original-mstd0.5", erasing: { prob: 1, mode: "rand", count: 3 } }],
  ] as const)("%s gives operations that can be written down and applied, and boxes inside the output", (_, fields) => {
    const settings = makeAugment({ size: 32, ...fields });
    const image = { ...SOURCE, data: Uint8Array.from({ length: 3 * 60 * 80 }, (_, i) => (i * 31) % 256) };
    for (const { ops, erase } of records(settings, 40)) {
      expect(parseOps(JSON.parse(JSON.stringify(ops)))).toEqual(ops);
      const out = applyOps(image, ops);
      expect([out.height, out.width]).toEqual([32, 32]);
      expect(erase.every((b) => b.top >= 0 && b.left >= 0 && b.top + b.height <= 32 && b.left + b.width <= 32)).toBe(true);
    }
  });

  test("what does not fit is refused", () => {
    expect(() => makeAugment({ size: 32, hflip: 2 })).toThrow(/^augment: hflip: /);
    expect(() => makeAugment({ size: 32, crop: { kind: "resized", scale: [0.5, 0.1] } })).toThrow(
      "augment: crop.scale: expected the lower bound first",
    );
    expect(() => makeAugment({ size: 32, erasing: { mode: "noise" as "rand" } })).toThrow(/^augment: erasing.mode: /);
    expect(() => makeAugment({ size: 32, flip: 1 } as AugmentFields)).toThrow(/flip/);
    expect(() => sampleImage(makeAugment({ size: 32, crop: { kind: "none" } }), SOURCE, AT)).toThrow(
      "expected an image of 32x32 where nothing is cropped, got 60x80",
    );
    expect(() => sampleImage(makeAugment({ size: 100, crop: { kind: "padded", padding: 4 } }), SOURCE, AT)).toThrow(
      "expected an image of at least 92 a side for a crop of 100 with padding 4, got 60x80",
    );
    expect(() => sampleImage(deit, SOURCE, { ...AT, image: -1 })).toThrow("expected image to be an integer in [0, 2^32), got -1");
  });
});

describe("eraseBoxes", () => {
  const erase = (mode: EraseBox["mode"], seed = 5) => {
    const x = new Float32Array(3 * 20 * 20).fill(9);
    eraseBoxes(x, [3, 20, 20], [{ top: 2, left: 3, height: 15, width: 12, mode, seed }]);
    return x;
  };
  const inside = (i: number) => Math.floor(i / 20) % 20 >= 2 && Math.floor(i / 20) % 20 < 17 && i % 20 >= 3 && i % 20 < 15;

  test.each(["pixel", "rand", "const"] as const)("%s changes the box in every channel and nothing else", (mode) => {
    erase(mode).forEach((v, i) => expect(v === 9).toBe(!inside(i)));
  });
  test("noise per element, per channel, or zeros; another seed gives other noise", () => {
    const values = (x: Float32Array) => new Set(x.filter((_, i) => inside(i)));
    expect(values(erase("pixel")).size).toBeGreaterThan(535); // of 540
    expect(values(erase("rand")).size).toBe(3);
    expect(values(erase("const"))).toEqual(new Set([0]));
    expect(erase("pixel", 6)).not.toEqual(erase("pixel"));
    expect(erase("pixel")).toEqual(erase("pixel"));
  });
});
