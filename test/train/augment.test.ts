/** Augmentation on the CPU, byte for byte what Pillow gives: test/golden/augment.json. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { RgbImage } from "../../models/images/preprocess.ts";
import { applyOps, OP_NAMES, parseOps, type AugmentOp } from "../../train/augment/ops.ts";
import { unitValue } from "../golden/fill.ts";

type Picture = readonly [kind: string, height: number, width: number, k: number];
interface Golden {
  readonly images: readonly Picture[];
  readonly ops: readonly unknown[];
  readonly results: readonly (readonly (string | null)[])[];
  readonly random: readonly (readonly [image: Picture, ops: unknown, digest: string])[];
  readonly full: readonly (readonly [image: Picture, ops: unknown, height: number, width: number, bytes: string])[];
}
const golden = JSON.parse(readFileSync(new URL("../golden/augment.json", import.meta.url), "utf8")) as Golden;

/** As augment.py draws it. */
function picture([kind, height, width, k]: Picture): RgbImage {
  const noise = (i: number): number => Math.floor(128 * (unitValue(i, k) + 1));
  const value = (y: number, x: number, c: number): number => {
    const v = noise(3 * (y * width + x) + c);
    switch (kind) {
      case "constant":
        return noise(c);
      case "gradient":
        return [
          Math.floor((255 * x) / Math.max(1, width - 1)),
          255 - Math.floor((255 * y) / Math.max(1, height - 1)),
          (7 * x + 3 * y) % 256,
        ][c]!;
      case "narrow":
        return 100 + (v % 41);
      case "bright":
        return v < 200 ? 255 : v - 200;
      case "photo":
        return [
          (x * 5 + y * 2) % 256,
          (x * height > y * width ? 220 : 40) + (noise(3 * (y * width + x) + 1) % 16),
          Math.floor((x * x + y * y) / 7) % 256,
        ][c]!;
      default:
        return v;
    }
  };
  const data = Uint8Array.from({ length: 3 * height * width }, (_, i) =>
    value(Math.floor(i / 3 / width), Math.floor(i / 3) % width, i % 3),
  );
  return { height, width, data };
}

const digest = ({ height, width, data }: RgbImage): string =>
  createHash("sha256").update(`${height}x${width}:`).update(data).digest("hex").slice(0, 16);

describe("applyOps against Pillow", () => {
  test("every operation and argument on every image: no byte differs", () => {
    const pictures = golden.images.map(picture);
    const before = pictures.map(digest);
    const wrong: string[] = [];
    let compared = 0;
    golden.ops.forEach((list, row) => {
      const ops = parseOps(list);
      pictures.forEach((image, column) => {
        const expected = golden.results[row]![column]!;
        const what = `${JSON.stringify(list)} on ${golden.images[column]!.join(" ")}`;
        if (expected === null) return void expect(() => applyOps(image, ops), what).toThrow(/^\w+: expected /);
        compared++;
        if (digest(applyOps(image, ops)) !== expected) wrong.push(what);
      });
    });
    expect(wrong).toEqual([]);
    expect(compared).toBeGreaterThan(4000);
    expect(pictures.map(digest)).toEqual(before); // inputs stay as they are
    expect(new Set(golden.ops.flatMap((list) => (list as AugmentOp[]).map(({ op }) => op)))).toEqual(new Set(OP_NAMES));
  });

  test("arguments and sizes from a generator: no byte differs", () => {
    const wrong = golden.random.filter(([image, ops, expected]) => digest(applyOps(picture(image), parseOps(ops))) !== expected);
    expect(wrong).toEqual([]);
  });

  test("whole outputs", () => {
    for (const [image, ops, height, width, bytes] of golden.full) {
      const out = applyOps(picture(image), parseOps(ops));
      expect([out.height, out.width], JSON.stringify(ops)).toEqual([height, width]);
      expect([...out.data], JSON.stringify(ops)).toEqual([...Buffer.from(bytes, "base64")]);
    }
  });
});

describe("parseOps", () => {
  test.each([
    [{ op: "Invert" }, /expected a list of operations, got \{"op":"Invert"\}/],
    [[{ op: "Blur" }], /expected one of AutoContrast, .*, centerCrop as operation 0, got "Blur"/],
    [["Invert"], /as operation 0, got "Invert"/],
    [[null], /as operation 0, got null/],
    [[{ op: "Invert" }, { op: "Rotate" }], /expected a number for degrees of Rotate \(operation 1\), got none/],
    [[{ op: "Rotate", degrees: "9" }], /expected a number for degrees of Rotate \(operation 0\), got "9"/],
    [[{ op: "Rotate", degree: 9, degrees: 9 }], /expected only degrees for Rotate \(operation 0\), got degree/],
    [[{ op: "Invert", factor: 1 }], /expected no argument for Invert \(operation 0\), got factor/],
    [[{ op: "Posterize", bits: 9 }], /for bits of Posterize \(operation 0\), got 9/],
    [[{ op: "resize", height: 0, width: 4 }], /for height of resize \(operation 0\), got 0/],
    [[{ op: "resize", height: 4, width: 1.5 }], /expected an integer for width of resize \(operation 0\), got 1.5/],
  ])("refuses %j", (value, message) => expect(() => parseOps(value)).toThrow(message));

  test("an image of another length is refused", () => {
    expect(() => applyOps({ height: 2, width: 2, data: new Uint8Array(11) }, [])).toThrow(
      "expected bytes (height, width, 3) of at least one pixel, got 11 bytes for 2x2",
    );
  });
});
