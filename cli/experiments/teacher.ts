/** Accuracy of the shipped CNN teacher, measured on the experiments' test images. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Scale } from "../../train/experiments/suite.ts";
import { SHIPPED_TEACHER } from "../model-options.ts";
import { tessera } from "./command.ts";

/** Top-1 accuracy on each data set's test images, in [0, 1]. */
export type TeacherTop1 = readonly { readonly data: string; readonly top1: number; readonly count: number }[];

const fileOf = (out: string, data: string): string => join(out, "teacher", "cnn", `${data}.json`);

/** Evaluates the teacher on the data of a scale, unless a result exists. */
export async function judgeTeacher({ data }: Scale, out: string): Promise<void> {
  for (const name of new Set(Object.values(data))) {
    const file = fileOf(out, name);
    if (existsSync(file)) continue;
    mkdirSync(join(out, "teacher", "cnn"), { recursive: true });
    await tessera(["eval", "--weights", SHIPPED_TEACHER, "--data", name, "--json", file], 1, `the teacher on ${name}`);
  }
}

/** The kept result; `null` if there is none. */
export function teacherTop1(out: string, names: readonly string[] = ["cifar10-subset", "cifar10"]): TeacherTop1 | null {
  const judged = names.filter((name) => existsSync(fileOf(out, name)));
  if (judged.length === 0) return null;
  return judged.map((data) => {
    const { model, count } = JSON.parse(readFileSync(fileOf(out, data), "utf8")) as { count: number; model: { top1: number } };
    return { data, top1: model.top1, count };
  });
}
