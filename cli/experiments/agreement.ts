/** How often models give the same answer to the test pictures: the paper's table 4, which prints the shares that differ. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { toF32 } from "../../models/checkpoints/dtypes.ts";
import { parseSafetensors } from "../../models/checkpoints/safetensors.ts";
import type { Scale } from "../../train/experiments/scales.ts";
import { student } from "../../train/experiments/students.ts";
import { runFolder } from "./outcome.ts";
import type { Place } from "./place.ts";
import { estimate, type Estimate } from "./statistics.ts";
import type { Find } from "./figures.ts";
import { teacherAnswers } from "./teacher.ts";

/** Rows and columns in the paper's order. */
export const MODELS = ["ground truth", "CNN teacher", "student without teacher", "class head", "distillation head", "both heads"] as const;

/** Table 4: RegNetY-16GF, DeiT-B. */
export const PAPER: readonly (readonly number[])[] = [
  [0],
  [0.171, 0],
  [0.182, 0.133, 0],
  [0.17, 0.112, 0.109, 0],
  [0.169, 0.1, 0.11, 0.05, 0],
  [0.166, 0.102, 0.107, 0.033, 0.019, 0],
];

export interface Agreement {
  readonly seeds: number;
  /** Share of the test pictures, in percent, on which two models differ: [row][column], column up to row. */
  readonly apart: readonly (readonly Estimate[])[];
  /** By how many points of the pictures the distilled model (both heads) is nearer to the CNN than a student without a teacher. */
  readonly nearer: Estimate;
}

/** The best class of each picture, by output. */
type Answers = Readonly<Record<"labels" | "logits" | "logits_cls" | "logits_dist", Uint8Array>>;

export function agreement(place: Place, find: Find): Agreement | null {
  const scale: Scale = place.scale;
  const [token, none] = [student(scale, "token", scale.distillation), student(scale, "none", scale.distillation)];
  const cnn = answersIn(teacherAnswers(place));
  const seeds = find(token)
    .map(({ seed }) => seed)
    .filter((seed) => find(none).some((o) => o.seed === seed));
  if (!cnn || seeds.length === 0) return null;
  const bySeed = seeds.flatMap((seed) => {
    const [taught, plain] = [token, none].map(({ id }) => answersIn(join(runFolder(place.out, id, seed), "answers.safetensors")));
    return taught && plain ? [[cnn.labels, cnn.logits, plain.logits, taught.logits_cls, taught.logits_dist, taught.logits]] : [];
  });
  if (bySeed.length === 0) return null;
  return {
    seeds: bySeed.length,
    nearer: estimate(bySeed.map(([, teacher, plain, , , both]) => 100 * (differing(plain!, teacher!) - differing(both!, teacher!))))!,
    apart: MODELS.map((_, i) => MODELS.slice(0, i + 1).map((_, j) => estimate(bySeed.map((all) => 100 * differing(all[i]!, all[j]!)))!)),
  };
}

export const differing = (a: Uint8Array, b: Uint8Array): number => a.reduce((sum, k, i) => sum + (k === b[i] ? 0 : 1), 0) / a.length;

function answersIn(path: string): Answers | null {
  if (!existsSync(path)) return null;
  const { tensors } = parseSafetensors(Uint8Array.from(readFileSync(path)));
  const best = (name: string): Uint8Array => {
    const found = tensors.get(name) ?? tensors.get("logits")!;
    const [logits, K] = [toF32(found), found.shape[1]!];
    return Uint8Array.from({ length: logits.length / K }, (_, i) => {
      const row = logits.subarray(i * K, (i + 1) * K);
      return row.indexOf(Math.max(...row));
    });
  };
  return {
    labels: Uint8Array.from(tensors.get("labels")!.data as Int32Array),
    logits: best("logits"),
    logits_cls: best("logits_cls"),
    logits_dist: best("logits_dist"),
  };
}
