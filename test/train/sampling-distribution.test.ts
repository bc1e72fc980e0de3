/** Every random operation, magnitude and share of a mix has the distribution it should, at fixed seeds; a bias is noticed. */
import { describe, expect, test } from "vitest";
import { Random } from "../../kernels/shared/random.ts";
import { parseAutoAugment, sampleAutoAugment } from "../../train/augment/auto-augment.ts";
import type { Draws } from "../../train/augment/draws.ts";
import { sampleOp } from "../../train/augment/levels.ts";
import { sampleMixes } from "../../train/augment/mixup.ts";
import type { AugmentOp } from "../../train/augment/ops.ts";
import { parseRandAugment, RAND_INCREASING_OPS, sampleRandAugment } from "../../train/augment/rand-augment.ts";
import { sampleResizedCrop } from "../../train/augment/random-crop.ts";
import { draw, find, likely, position, range, SIDE, unlikely } from "./drawn-records.ts";
import { chiSquare, chiSquareTail, kolmogorovSmirnov, normalCdf, tally, uniformCdf } from "./statistics.ts";

describe("the tests", () => {
  test("give tabulated probabilities", () => {
    expect(chiSquareTail(3.841, 1)).toBeCloseTo(0.05, 4);
    expect(chiSquareTail(52.62, 25)).toBeCloseTo(0.001, 5);
    expect(chiSquareTail(224, 224)).toBeCloseTo(0.4874, 3);
    expect(normalCdf(-1.959964)).toBeCloseTo(0.025, 6);
    expect(normalCdf(0.5)).toBeCloseTo(0.691462, 5);
  });
  test("give uniform probabilities for what is as stated", () => {
    const random = new Random(1, 2);
    const ps = range(400).map(() =>
      kolmogorovSmirnov(
        range(300).map(() => random.uniform()),
        uniformCdf(0, 1),
      ),
    );
    likely(kolmogorovSmirnov(ps, uniformCdf(0, 1)));
    likely(
      kolmogorovSmirnov(
        range(400).map(() =>
          chiSquare(
            tally(
              range(300).map(() => random.int(6)),
              6,
            ),
          ),
        ),
        uniformCdf(0, 1),
      ),
    );
  });
  test("notice draws that are a little off", () => {
    const random = new Random(3, 4);
    // the highest 4 % never, integers too often 0, normal ones a tenth too wide.
    const biased: Draws = {
      uniform: (a = 0, b = 1) => a + (b - a) * 0.96 * random.uniform(),
      int: (n) => random.int(n) * (random.uniform() < 0.1 ? 0 : 1),
      normal: () => 1.1 * random.normal(),
    };
    const boxes = range(10000).map(() => sampleResizedCrop({ height: SIDE, width: SIDE }, [0.08, 0.5], [3 / 4, 4 / 3], biased));
    unlikely(
      kolmogorovSmirnov(
        boxes.map(({ height, width }) => (height * width) / SIDE ** 2),
        uniformCdf(0.08, 0.5),
      ),
    );
    unlikely(
      kolmogorovSmirnov(
        boxes.map(({ top, height }) => position(top, height, SIDE)),
        uniformCdf(0, 1),
      ),
    );
    unlikely(
      kolmogorovSmirnov(
        range(30000)
          .map(() => find([sampleOp("Rotate", 1, 5, { std: 0.5, max: 10 }, biased)!], "Rotate")!.degrees / 3)
          .map((m) => (Math.abs(m) - 5) / 0.5),
        normalCdf,
      ),
    );
    const policy = parseRandAugment("rand-p1-n1-inc1");
    unlikely(
      chiSquare(
        tally(
          range(8000).map(() => opIndex(sampleRandAugment(policy, biased)[0]!)),
          15,
        ),
      ),
    );
  });
});

/** Place in RandAugment's increasing set. */
const opIndex = ({ op }: AugmentOp): number => RAND_INCREASING_OPS.findIndex((name) => name.replace("Increasing", "") === op);

describe("RandAugment", () => {
  test("chooses every ordered pair of operations as often", () => {
    const pairs = draw({ autoAugment: "rand-m9-p1-mstd0.5-inc1" }, 9000).map(({ ops }) => 15 * opIndex(ops[0]!) + opIndex(ops[1]!));
    likely(chiSquare(tally(pairs, 225)));
  });
  test("applies each with its probability", () => {
    likely(
      chiSquare(
        tally(
          draw({ autoAugment: "rand-m9-mstd0.5-inc1" }, 6000).map(({ ops }) => ops.length),
          3,
        ),
        [0.25, 0.5, 0.25],
      ),
    );
    likely(
      chiSquare(
        tally(
          draw({ autoAugment: "rand-m9-n1-p0.8" }, 6000).map(({ ops }) => ops.length),
          2,
        ),
        [0.2, 0.8],
      ),
    );
  });
  test("magnitudes are normal and clipped, signs even", () => {
    const degrees = draw({ autoAugment: "rand-m9-n8-p1-mstd0.5-inc1" }, 12000).flatMap(({ ops }) =>
      ops.flatMap((op) => (op.op === "Rotate" ? op.degrees : [])),
    );
    const clipped = degrees.filter((d) => Math.abs(d) === 30).length;
    const tail = 1 - normalCdf(2);
    likely(chiSquare([degrees.length - clipped, clipped], [1 - tail, tail]), "clipped");
    likely(
      kolmogorovSmirnov(
        degrees.filter((d) => Math.abs(d) < 30).map((d) => (Math.abs(d) / 3 - 9) / 0.5),
        (x) => Math.min(1, normalCdf(x) / (1 - tail)),
      ),
      "magnitude",
    );
    const up = degrees.filter((d) => d > 0).length;
    likely(chiSquare([up, degrees.length - up]), "sign");
  });
  test("above a deviation of 100 magnitudes are uniform below m", () => {
    const fractions = draw({ autoAugment: "rand-m8-n8-p1-mstd101" }, 8000).flatMap(({ ops }) =>
      ops.flatMap((op) => (op.op === "TranslateXRel" ? Math.abs(op.fraction) : [])),
    );
    likely(kolmogorovSmirnov(fractions, uniformCdf(0, 0.36)));
  });
});

describe("AutoAugment and 3-Augment", () => {
  test.each(["original", "v0"])("%s: every sequence of operations as often as the policies' probabilities say", (name) => {
    const policy = parseAutoAugment(name);
    const expected = new Map<string, number>();
    const plain = (op: string) => op.replace(/Increasing|Original/, "");
    for (const layers of policy.policies) {
      for (const taken of range(2 ** layers.length)) {
        const chance = layers.reduce((p, { prob }, k) => p * ((taken >> k) & 1 ? prob : 1 - prob), 1 / policy.policies.length);
        const key = layers
          .filter((_, k) => (taken >> k) & 1)
          .map((layer) => plain(layer.name))
          .join();
        if (chance > 0) expected.set(key, (expected.get(key) ?? 0) + chance);
      }
    }
    const random = new Random(8, 1);
    const keys = [...expected.keys()];
    const seen = range(20000).map(() =>
      keys.indexOf(
        sampleAutoAugment(policy, random)
          .map(({ op }) => op)
          .join(),
      ),
    );
    expect(Math.min(...seen)).toBe(0);
    likely(
      chiSquare(
        tally(seen, keys.length),
        keys.map((key) => expected.get(key)!),
      ),
    );
  });
  test("3a: each of three as often, the blur's radius uniform", () => {
    const ops = draw({ autoAugment: "3a" }, 9000).map(({ ops: [op] }) => op!);
    likely(
      chiSquare(
        tally(
          ops.map(({ op }) => ["Solarize", "Color", "GaussianBlur"].indexOf(op)),
          3,
        ),
      ),
    );
    likely(
      kolmogorovSmirnov(
        ops.flatMap((op) => (op.op === "GaussianBlur" ? op.radius : [])),
        uniformCdf(0.1, 2),
      ),
    );
    expect(
      ops.every((op) => op.op === "GaussianBlur" || (op.op === "Solarize" ? op.threshold === 128 : op.op === "Color" && op.factor === 0)),
    ).toBe(true);
  });
  test("jitter: uniform factors in any order", () => {
    const all = draw({ colorJitter: 0.3 }, 6000).map(({ ops }) => ops);
    const orders = all.map((ops) => ops.map(({ op }) => op[2]).join(""));
    likely(
      chiSquare(
        tally(
          orders.map((order) => [...new Set(orders)].sort().indexOf(order)),
          6,
        ),
      ),
    );
    for (const name of ["Brightness", "Contrast", "Color"] as const)
      likely(
        kolmogorovSmirnov(
          all.map((ops) => find(ops, name)!.factor),
          uniformCdf(0.7, 1.3),
        ),
        name,
      );
  });
});

test("mixing: an image's share is Beta(0.8, 0.8)", () => {
  const a = 0.8;
  const lams = range(150)
    .flatMap((step) => sampleMixes({ mixup: a, cutmix: 0, mixProb: 1, mixSwitchProb: 0.5, mixMode: "elem" }, 2, step, 64, 32, 32))
    .map(({ lam }) => lam);
  // With lam = sin^2 t the density 2 (sin t cos t)^(2a - 1) is summed over cells' middles.
  const CELLS = 20000;
  const sums = [0];
  for (const i of range(CELLS)) sums.push(sums[i]! + Math.sin((Math.PI * (i + 0.5)) / CELLS) ** (2 * a - 1));
  likely(kolmogorovSmirnov(lams, (lam) => sums[Math.round((Math.asin(Math.sqrt(lam)) / (Math.PI / 2)) * CELLS)]! / sums[CELLS]!));
});
