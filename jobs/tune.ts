/** `tune`: which kernel is fastest for each shape on the adapter at hand. */
import { problemOf, modelQuestions, opQuestions } from "../bench/tune/questions.ts";
import { tune, type Answer } from "../bench/tune/tune.ts";
import { opNamed } from "../checks/catalog.ts";
import { DEFAULT } from "../checks/problem.ts";
import { getDevice } from "../engine/device.ts";
import { createModel } from "../models/model.ts";
import { refusing } from "./errors.ts";
import type { Host } from "./host.ts";

export interface TuneArgs {
  /** Tunes models at `batch` images, or one operation at one shape; `training` includes gradients. */
  readonly models: readonly string[];
  readonly batch: number;
  readonly op?: { readonly name: string; readonly sizes: string } | undefined;
  readonly training: boolean;
}

export interface TuneResult {
  readonly answers: readonly Answer[];
  /** False: stopped before its last question. */
  readonly finished: boolean;
}

export default async function tuneJob(host: Host, { models, batch, op, training }: TuneArgs): Promise<TuneResult> {
  const known = getDevice().adapter.software
    ? ["deit_tiny_distilled_patch16_224"]
    : ["deit_tiny_distilled_patch16_224", "deit_small_distilled_patch16_224", "deit_base_distilled_patch16_224", "regnety_160"];
  const names = models.length > 0 ? models : known;
  const found = op
    ? refusing(() => opQuestions(opNamed(op.name), op.sizes, training))
    : names.map((name) => refusing(() => createModel(name))).flatMap((model) => modelQuestions(model, batch, training));
  const questions = [...new Set(found)];
  const answers: Answer[] = [];
  for (const question of questions) {
    if (host.stopAsked()) break;
    host.progress({ label: "tune", done: answers.length, total: questions.length, note: question });
    const problem = problemOf(question);
    if (!problem) throw new Error(`tune: expected a question that can be posed again, got "${question}"`);
    try {
      const answer = await tune(problem);
      answers.push(answer);
      for (const { name, out } of answer.measured.filter(({ wrong }) => wrong))
        host.log({ message: `WRONG, not used: ${name} for ${question}: ${out}` });
      if (answer.choice !== DEFAULT) host.log({ message: `${question}: ${answer.choice}, ${answer.gain} times as fast as the default` });
    } finally {
      problem.dispose();
    }
  }
  return { answers, finished: answers.length === questions.length };
}
