/** Every random box of cropping and erasing, every flip and erasing's noise have the distribution they should, at fixed seeds. */
import { describe, expect, test } from "vitest";
import { eraseBoxes } from "../../train/augment/erasing.ts";
import { makeAugment, sampleImage } from "../../train/augment/sample.ts";
import { draw, find, likely, OFF, position, range, SIDE, unlikely } from "./drawn-records.ts";
import { chiSquare, kolmogorovSmirnov, normalCdf, tally, uniformCdf } from "./statistics.ts";

/** Of a share in [low, high) kept with chance min(1, -ln s / ln(1 / knee)): that of a box of some log-uniform aspect fitting a square. */
function fittingShare(low: number, high: number, knee: number): (s: number) => number {
  const primitive = (s: number) => (s <= knee ? s - knee : (s - s * Math.log(s) - (knee - knee * Math.log(knee))) / -Math.log(knee));
  return (s) => (primitive(s) - primitive(low)) / (primitive(high) - primitive(low));
}

describe("crop and flip", () => {
  test("resized: share, aspect and place are uniform where every box fits", () => {
    const boxes = draw({ crop: { kind: "resized", scale: [0.08, 0.5] } }, 10000).map(({ ops }) => find(ops, "resizedCrop")!);
    likely(
      kolmogorovSmirnov(
        boxes.map(({ height, width }) => (height * width) / SIDE ** 2),
        uniformCdf(0.08, 0.5),
      ),
      "share",
    );
    likely(
      kolmogorovSmirnov(
        boxes.map(({ height, width }) => Math.log(width / height)),
        uniformCdf(Math.log(3 / 4), Math.log(4 / 3)),
      ),
      "aspect",
    );
    likely(
      kolmogorovSmirnov(
        boxes.map(({ top, height }) => position(top, height, SIDE)),
        uniformCdf(0, 1),
      ),
      "top",
    );
    likely(
      kolmogorovSmirnov(
        boxes.map(({ left, width }) => position(left, width, SIDE)),
        uniformCdf(0, 1),
      ),
      "left",
    );
  });
  test("resized: the paper's share is what is left of the uniform one when boxes that do not fit are drawn again", () => {
    const shares = draw({ crop: { kind: "resized" } }, 10000)
      .map(({ ops }) => find(ops, "resizedCrop")!)
      .map(({ height, width }) => (height * width) / SIDE ** 2);
    likely(kolmogorovSmirnov(shares, fittingShare(0.08, 1, 3 / 4)));
    unlikely(kolmogorovSmirnov(shares, uniformCdf(0.08, 1)));
  });
  test("padded and simple: every offset is as likely, rows and columns independently", () => {
    for (const kind of ["padded", "simple"] as const) {
      const places = draw({ crop: { kind } }, 8100, 32)
        .map(({ ops }) => find(ops, "crop")!)
        .map(({ top, left }) => 9 * (top + 4) + left + 4);
      likely(chiSquare(tally(places, 81)), kind);
    }
  });
  test("flips come with their probability, independently between neighbouring images, epochs and copies", () => {
    const flips = draw({ hflip: 0.3 }, 10000).map(({ ops }) => ops.length);
    likely(chiSquare(tally(flips, 2), [0.7, 0.3]));
    const settings = makeAugment({ size: 8, ...OFF, hflip: 0.5 });
    const flip = (image: number, epoch: number, copy: number, seed = 1) =>
      sampleImage(settings, { height: 8, width: 8 }, { seed, epoch, image, copy }).ops.length;
    const pairs = (next: (i: number) => number) =>
      chiSquare(
        tally(
          range(4000).map((i) => 2 * flip(i, 0, 0) + next(i)),
          4,
        ),
      );
    for (const p of [
      pairs((i) => flip(i + 1, 0, 0)),
      pairs((i) => flip(i, 1, 0)),
      pairs((i) => flip(i, 0, 1)),
      pairs((i) => flip(i, 0, 0, 2)),
    ])
      likely(p);
  });
});

describe("erasing", () => {
  test("is done with its probability and independently of the flip", () => {
    const all = draw({ hflip: 0.5, erasing: { prob: 0.25 } }, 12000);
    likely(
      chiSquare(
        tally(
          all.map(({ ops, erase }) => 2 * ops.length + erase.length),
          4,
        ),
        [0.375, 0.125, 0.375, 0.125],
      ),
    );
  });
  test("boxes: share as fits, aspect and place uniform, noise of their own", () => {
    const boxes = draw({ erasing: { prob: 1 } }, 10000).flatMap(({ erase }) => erase);
    expect(boxes).toHaveLength(10000);
    const share = ({ height, width }: (typeof boxes)[number]) => (height * width) / SIDE ** 2;
    likely(kolmogorovSmirnov(boxes.map(share), fittingShare(0.02, 1 / 3, 0.3)), "share");
    likely(
      kolmogorovSmirnov(
        boxes.filter((b) => share(b) < 0.29).map(({ height, width }) => Math.log(height / width)),
        uniformCdf(Math.log(0.3), -Math.log(0.3)),
      ),
      "aspect",
    );
    likely(
      kolmogorovSmirnov(
        boxes.map(({ top, height }) => position(top, height, SIDE)),
        uniformCdf(0, 1),
      ),
      "top",
    );
    likely(
      kolmogorovSmirnov(
        boxes.map(({ left, width }) => position(left, width, SIDE)),
        uniformCdf(0, 1),
      ),
      "left",
    );
    likely(
      kolmogorovSmirnov(
        boxes.map(({ seed }) => seed / 2 ** 32),
        uniformCdf(0, 1),
      ),
      "seed",
    );
  });
  test("any count up to the greatest as often, each a share of the area", () => {
    const all = draw({ erasing: { prob: 1, count: 4 } }, 6000).map(({ erase }) => erase);
    likely(
      chiSquare(
        tally(
          all.map((boxes) => boxes.length - 1),
          4,
        ),
      ),
    );
    likely(
      kolmogorovSmirnov(
        all.filter((b) => b.length === 4).map(([b]) => (4 * b!.height * b!.width) / SIDE ** 2),
        uniformCdf(0.02, 1 / 3),
      ),
    );
  });
  test("noise is standard normal", () => {
    const x = new Float32Array(3 * 50 * 50);
    eraseBoxes(x, [3, 50, 50], [{ top: 0, left: 0, height: 50, width: 50, mode: "pixel", seed: 77 }]);
    likely(kolmogorovSmirnov([...x], normalCdf));
    const colours = range(3000).flatMap((seed) => {
      const small = new Float32Array(3);
      eraseBoxes(small, [3, 1, 1], [{ top: 0, left: 0, height: 1, width: 1, mode: "rand", seed }]);
      return [...small];
    });
    likely(kolmogorovSmirnov(colours, normalCdf));
  });
});
