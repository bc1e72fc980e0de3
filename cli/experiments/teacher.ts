/** What the shipped CNN teacher knows itself, measured where the experiments are. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Scale } from "../../train/experiments/suite.ts";
import { SHIPPED_TEACHER } from "../model-options.ts";
import { tessera } from "./command.ts";

/** Share of each data set's test images that it names right. */
export type TeacherTop1 = readonly { readonly data: string; readonly top1: number; readonly count: number }[];

const fileOf = (out: string, data: string): string => join(out, "teacher", "cnn", `${data}.json`);

/** Judges it on the data of a scale, unless that was done. */
export async function judgeTeacher({ data }: Scale, out: string): Promise<void> {
  for (const name of new Set(Object.values(data))) {
    const file = fileOf(out, name);
    if (existsSync(file)) continue;
    mkdirSync(join(out, "teacher", "cnn"), { recursive: true });
    await tessera(["eval", "--weights", SHIPPED_TEACHER, "--data", name, "--json", file], 1, `the teacher on ${name}`);
  }
}

/** As judged; `null` where it was not. */
export function teacherTop1(out: string, names: readonly string[] = ["cifar10-subset", "cifar10"]): TeacherTop1 | null {
  const judged = names.filter((name) => existsSync(fileOf(out, name)));
  if (judged.length === 0) return null;
  return judged.map((data) => {
    const { model, count } = JSON.parse(readFileSync(fileOf(out, data), "utf8")) as { count: number; model: { top1: number } };
    return { data, top1: model.top1, count };
  });
}
