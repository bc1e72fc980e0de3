import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { ImageSet } from "../../train/data/dataset.ts";
import { balancedSubset, CIFAR10_CLASSES, epochOrder, gather, parseCifar, stepsPerEpoch, writeCifar } from "../../train/data/dataset.ts";

/** n one-pixel-identifiable images: byte i of image n is (7n + i) % 251 + 1, never 0, so that padding can be told apart. */
function makeSet(count: number): ImageSet {
  const images = Uint8Array.from({ length: count * 3072 }, (_, i) => ((7 * Math.floor(i / 3072) + (i % 3072)) % 251) + 1);
  const labels = Uint8Array.from({ length: count }, (_, n) => n % 10);
  return { images, labels, count, classes: [...CIFAR10_CLASSES], shape: [3, 32, 32] };
}
const all = (n: number) => Array.from({ length: n }, (_, i) => i);

describe("parseCifar", () => {
  test("reads back what writeCifar wrote", () => {
    const set = makeSet(12);
    expect(parseCifar(writeCifar(set, all(12)))).toEqual(set);
  });
  test("refuses empty, truncated and mislabelled files", () => {
    const bytes = writeCifar(makeSet(5), all(5));
    expect(() => parseCifar(new Uint8Array())).toThrow("parseCifar: expected at least one record of 3073 bytes, got an empty file");
    expect(() => parseCifar(bytes.subarray(0, 3073 * 4 + 9))).toThrow("got 4 records and 9 bytes more");
    bytes[3073 * 3] = 10;
    expect(() => parseCifar(bytes)).toThrow("parseCifar: expected label below 10 in record 3, got 10");
    expect(parseCifar(bytes, 11).classes).toHaveLength(11);
    expect(() => parseCifar(bytes, 0)).toThrow("expected 1 to 256 classes, got 0");
  });
});

describe("epochOrder", () => {
  test("is a permutation, the same for the same seed and epoch, another for another", () => {
    const order = epochOrder(1000, 3, 5);
    expect([...order].sort((a, b) => a - b)).toEqual(all(1000));
    expect(epochOrder(1000, 3, 5)).toEqual(order);
    expect(epochOrder(1000, 3, 6)).not.toEqual(order);
    expect(epochOrder(1000, 4, 5)).not.toEqual(order);
    expect(epochOrder(0, 1, 0)).toHaveLength(0);
  });
  test("puts every element at every place equally often", () => {
    const n = 6,
      epochs = 6000;
    const seen = new Float64Array(n * n);
    for (let e = 0; e < epochs; e++) epochOrder(n, 1, e).forEach((v, i) => seen[i * n + v]!++);
    const chi2 = seen.reduce((sum, c) => sum + (c - epochs / n) ** 2 / (epochs / n), 0);
    expect(chi2).toBeLessThan(52.6); // 25 degrees of freedom, p = .001
  });
  test("an epoch has whole batches only", () => expect(stepsPerEpoch(10, 4)).toBe(2));
});

describe("the shipped subset", () => {
  const file = (name: string) => readFileSync(new URL(`../../app/data/cifar10/${name}`, import.meta.url));
  test.each([
    ["train.bin", 200],
    ["test.bin", 100],
  ] as const)("%s is what its README says", (name, perClass) => {
    const bytes = file(name);
    expect(file("README.md").toString()).toContain(createHash("sha256").update(bytes).digest("hex"));
    const set = parseCifar(bytes);
    const counts = new Array(10).fill(0);
    for (const label of set.labels) counts[label]++;
    expect(counts).toEqual(new Array(10).fill(perClass));
    expect(gather(set, [set.count - 1]).labels[0]).toBe(set.labels.at(-1));
  });
  test("a balanced choice is balanced, repeatable and refuses too much", () => {
    const set = makeSet(100);
    const chosen = balancedSubset(set, 3, 9);
    expect(balancedSubset(set, 3, 9)).toEqual(chosen);
    expect(new Set(chosen).size).toBe(30);
    expect(() => balancedSubset(set, 11, 9)).toThrow("balancedSubset: expected 11 images of class airplane, got 10");
  });
});
