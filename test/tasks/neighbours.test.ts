/** Nearest neighbours, retrieval, a linear probe and principal components, against PyTorch on the same features (test/golden/knn.py). */
import { describe, expect, test } from "vitest";
import knnJob from "../../jobs/knn.ts";
import { writeSafetensors, type SafeTensor } from "../../models/checkpoints/safetensors.ts";
import { knn } from "../../tasks/neighbours.ts";
import { componentPictures, principalComponents } from "../../tasks/principal.ts";
import golden from "../golden/knn.json" with { type: "json" };
import { memoryHost } from "../memory-host.ts";

const labelled = (values: readonly number[]) => ({
  data: Float32Array.from(values),
  labels: Array.from({ length: values.length / golden.width }, (_, i) => i % golden.classes),
});
const [train, rows] = [labelled(golden.train), labelled(golden.test)];

test.each(golden.knn)("k $k, tau $tau, without itself $leaveOut: every image as PyTorch's", ({ top1, top5, recall1, ...options }) => {
  const count = rows.labels.length;
  const scored = knn(options.leaveOut ? rows : train, rows, options);
  expect([scored.count, scored.top1 * count, scored.top5 * count, scored.recall1 * count].map((v) => Math.round(1e6 * v) / 1e6)).toEqual([
    count,
    top1,
    top5,
    recall1,
  ]);
});

describe("knn, from file to file", () => {
  const file = ({ data, labels }: typeof train, withLabels = true) =>
    writeSafetensors(
      new Map<string, SafeTensor>([
        ["features", { dtype: "F32", shape: [labels.length, golden.width], data }],
        ...(withLabels
          ? [["labels", { dtype: "I64", shape: [labels.length], data: BigInt64Array.from(labels, BigInt) } as SafeTensor] as const]
          : []),
      ]),
    );
  const args = { train: "a", test: "b", k: 20, tau: 0.07 };
  test("with a linear probe: PyTorch's figures", async () => {
    const host = memoryHost({ a: file(train), b: file(rows) });
    const { top1, probe } = await knnJob(host, { ...args, probe: { steps: 100, lr: 0.003, weightDecay: 0.01 } });
    const count = rows.labels.length;
    expect(Math.round(top1 * count)).toBe(golden.knn[0]!.top1);
    expect([probe!.top1 * count, probe!.top5 * count].map(Math.round)).toEqual([golden.probe.top1, golden.probe.top5]);
    expect(probe!.loss).toBeCloseTo(golden.probe.loss, 5);
  });
  test("refuses features without labels, and of another width", async () => {
    await expect(knnJob(memoryHost({ a: file(train, false), b: file(rows) }), args)).rejects.toThrow(
      "expected labels beside the features in a",
    );
    const narrow = { data: rows.data.slice(0, 11 * 6), labels: rows.labels.slice(0, 6) };
    const other = writeSafetensors(
      new Map<string, SafeTensor>([
        ["features", { dtype: "F32", shape: [6, 11], data: narrow.data }],
        ["labels", { dtype: "I64", shape: [6], data: new BigInt64Array(6) } as SafeTensor],
      ]),
    );
    await expect(knnJob(memoryHost({ a: file(train), b: other }), args)).rejects.toThrow("expected test features of width 12, got 11");
  });
});

test("principal components as PyTorch's SVD has them, and their pictures", () => {
  const falling = train.data.map((v, i) => v * 0.8 ** (i % golden.width));
  const { directions } = principalComponents(falling, golden.width);
  golden.components.forEach((v, c) => v.forEach((e, d) => expect(directions[c]![d]!).toBeCloseTo(e, 4)));
  const pictures = componentPictures(train.data.slice(0, 2 * 9 * golden.width), golden.width, 3, 2);
  expect(pictures.map(({ height, width }) => [height, width])).toEqual([
    [6, 6],
    [6, 6],
  ]);
  for (let c = 0; c < 3; c++) {
    const channel = pictures.flatMap(({ data }) => [...data].filter((_, i) => i % 3 === c));
    expect([Math.min(...channel), Math.max(...channel)]).toEqual([0, 255]);
  }
});
