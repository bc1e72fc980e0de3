/** Repeated augmentation against the official sampler's indices for the same permutation. */
import { describe, expect, test } from "vitest";
import { epochOrder } from "../../train/data/dataset.ts";
import { repeatedBatch, repeatedSteps, replicaIndices, replicaLength } from "../../train/input/sampler.ts";
import { recording } from "./recorded.ts";

const range = (n: number) => Uint32Array.from({ length: n }, (_, i) => i);

describe("replicaIndices", () => {
  test("every rank of every recorded count, repeat and replica number", () => {
    let compared = 0;
    for (const [order, repeats, ranks] of recording.samplers) {
      for (const [replicas, lists] of Object.entries(ranks)) {
        lists.forEach((expected, rank) => {
          expect(
            [...replicaIndices(Uint32Array.from(order), rank, { repeats, replicas: Number(replicas) })],
            `${order.length} x ${repeats}, ${rank} of ${replicas}`,
          ).toEqual(expected);
          compared += expected.length;
        });
      }
    }
    expect(compared).toBeGreaterThan(3000);
  });
  test("ImageNet's lengths, and the start of each rank by hand", () => {
    expect([16, 8, 4, 1].map((replicas) => replicaLength(1281167, { repeats: 3, replicas }))).toEqual([80064, 160128, 320256, 1281024]);
    const start = (rank: number) => [...replicaIndices(range(1000), rank, { repeats: 3, replicas: 4 })].slice(0, 6);
    expect([0, 1, 2, 3].map(start)).toEqual([
      [0, 1, 2, 4, 5, 6],
      [0, 1, 3, 4, 5, 7],
      [0, 2, 3, 4, 6, 7],
      [1, 2, 3, 5, 6, 7],
    ]);
    expect(replicaLength(1000, { repeats: 3, replicas: 4 })).toBe(192);
  });
});

describe("repeatedBatch", () => {
  test("shard r of each batch is what replica r sees in that step", () => {
    for (const replicas of [1, 2, 4, 8]) {
      const options = { repeats: 3, replicas };
      const order = epochOrder(700, 1, 2);
      const ranks = Array.from({ length: replicas }, (_, rank) => replicaIndices(order, rank, options));
      expect(repeatedSteps(700, 32, options)).toBe(16);
      for (let step = 0; step < 16; step++) {
        const shard = 32 / replicas;
        const expected = ranks.flatMap((indices) => [...indices.subarray(step * shard, (step + 1) * shard)]);
        expect([...repeatedBatch(order, step, 32, options).images]).toEqual(expected);
      }
    }
  });
  test("an epoch has a third of the images, each with copies 0, 1 and 2, and never two copies in a shard where replicas allow", () => {
    const order = epochOrder(769, 3, 0);
    const copies = new Map<number, number[]>();
    for (let step = 0; step < 24; step++) {
      const batch = repeatedBatch(order, step, 32, { repeats: 3, replicas: 4 });
      batch.images.forEach((image, b) => copies.set(image, [...(copies.get(image) ?? []), batch.copies[b]!]));
      for (let shard = 0; shard < 4; shard++) expect(new Set(batch.images.subarray(8 * shard, 8 * shard + 8)).size).toBe(8);
    }
    expect(copies.size).toBe(256);
    expect([...copies.keys()].every((image) => order.subarray(0, 256).includes(image))).toBe(true);
    for (const list of copies.values()) expect(list.sort()).toEqual([0, 1, 2]);
  });
  test("without repeats and shards it is the order itself", () => {
    const order = epochOrder(100, 3, 0);
    expect(repeatedBatch(order, 2, 10, { repeats: 1, replicas: 1 })).toEqual({ images: order.slice(20, 30), copies: new Uint32Array(10) });
    expect(repeatedSteps(1001, 10, { repeats: 1, replicas: 1 })).toBe(100);
  });
  test("what does not divide or exist is refused", () => {
    expect(() => repeatedBatch(range(300), 0, 30, { repeats: 3, replicas: 4 })).toThrow(
      "expected a batch size that 4 shards divide, got 30",
    );
    expect(() => repeatedBatch(range(300), 8, 32, { repeats: 3, replicas: 4 })).toThrow(
      "repeatedBatch: expected step below 8 (300 images, batch 32), got 8",
    );
    expect(() => replicaLength(300, { repeats: 0, replicas: 1 })).toThrow("sampler: expected repeats to be a positive integer, got 0");
    expect(() => replicaIndices(range(300), 4, { repeats: 3, replicas: 4 })).toThrow("expected a rank below 4, got 4");
  });
});
