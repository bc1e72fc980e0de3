/** An edited kernel against the shipped one at all sizes that the operation has in DeiT's models, and at those that it is timed at anyway. */
import type { Op } from "../../checks/op.ts";
import { getDevice } from "../../engine/device.ts";
import { withRecorder } from "../../engine/launch.ts";
import { promise } from "../../engine/memory.ts";
import { numel, type Shape } from "../../engine/shape.ts";
import { Tensor } from "../../engine/tensor.ts";
import { withWatcher } from "../../engine/watch.ts";
import { deit, deitParams } from "../../models/deit.ts";
import { deitConfig } from "../../models/deit-names.ts";
import type { Edit } from "./module.ts";
import { timeEdit, type Roofline, type TimeOptions, type TimeVerdict } from "./time.ts";

const MODELS = ["deit_tiny_distilled_patch16_224", "deit_small_distilled_patch16_224", "deit_base_distilled_patch16_224"];
const BATCHES = { software: [1, 4], gpu: [1, 8, 64] } as const;
/** A processor that plays a GPU is not asked for more in one launch. */
const MOST_FLOPS = 1e9;
const MOST_BYTES = 5e7;

export interface ShapeTime {
  /** "788x192" */
  readonly sizes: string;
  readonly time: TimeVerdict;
  readonly roofline: Roofline;
}

/** Each once, the smallest first. */
export function sizesOf(op: Op): string[] {
  const { software } = getDevice().adapter;
  const named = [...op.timed.map(({ sizes }) => sizes), ...inModels(op, BATCHES[software ? "software" : "gpu"])];
  const work = new Map(
    [...new Set(named)].map((sizes) => {
      const { flops, bytes } = op.problem(sizes, op.timed[0]?.attrs);
      return [sizes, { flops, bytes }];
    }),
  );
  return [...work]
    .filter(([, { flops, bytes }]) => !software || (flops <= MOST_FLOPS && bytes <= MOST_BYTES))
    .sort(([, a], [, b]) => a.flops - b.flops || a.bytes - b.bytes)
    .map(([sizes]) => sizes);
}

/** Tells each size's times as they come; one that another kernel runs is left out. */
export async function timeShapes(op: Op, edits: readonly Edit[], options: TimeOptions, tell: (shape: ShapeTime) => void): Promise<void> {
  for (const sizes of sizesOf(op)) {
    const timed = await timeEdit(op, edits, { ...options, sizes });
    if (timed) tell({ sizes, ...timed });
  }
}

/** What the models' forward gives the operation. Nothing runs, and no memory is taken. */
function inModels(op: Op, batches: readonly number[]): string[] {
  const given = new Set<readonly (Tensor | null)[]>();
  const ghost = (shape: Shape) => new Tensor(shape, "f32", promise(4 * numel(shape), "a model's shape"));
  for (const name of MODELS) {
    // One block: the others have its shapes.
    const config = { ...deitConfig(name)!, depth: 1 };
    const params = Object.fromEntries(deitParams(config).map((param) => [param.name, ghost(param.shape)]));
    for (const batch of batches)
      withWatcher(
        (part, run) => {
          if ("op" in part && part.op === op.name) given.add(part.inputs);
          return run();
        },
        () => withRecorder({ launches: [] }, () => deit(params, ghost([batch, config.inChans, config.imgSize, config.imgSize]), config)),
      );
  }
  return [...given].flatMap((inputs) => sizesFor(op, inputs) ?? []);
}

/** A problem's sizes from its inputs' shapes; null where an axis is more than a letter. */
function sizesFor({ inputs, letters }: Op, given: readonly (Tensor | null)[]): string | null {
  const n = new Map<string, number>();
  Object.values(inputs).forEach(({ shape }, i) => {
    const axes = /\[([^\]]*)\]/
      .exec(shape)![1]!
      .split(",")
      .filter((axis) => axis !== "..");
    const actual = given[i]?.shape;
    if (!actual) return;
    axes.forEach((axis, k) => n.set(axis, actual[actual.length - axes.length + k]!));
    if (shape.includes("..")) n.set("..", numel(actual.slice(0, actual.length - axes.length)));
  });
  const sizes = letters.map((letter) => n.get(letter));
  return sizes.every((size) => size !== undefined) ? sizes.join("x") : null;
}
