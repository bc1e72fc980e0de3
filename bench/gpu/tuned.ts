/** The step that tunes: every shape of DeiT's training, and of the products that are reported, so long as time is left. */
import { modelQuestions, opQuestions, problemOf } from "../tune/questions.ts";
import { ops } from "../../checks/catalog.ts";
import { DEFAULT } from "../../checks/problem.ts";
import { tune, type Answer } from "../tune/tune.ts";
import { createModel } from "../../models/model.ts";
import { useSubgroupMatrix } from "../../kernels/gemm/matrix.ts";
import { modelCase, modelName, type Size } from "./cases.ts";
import { open, save, stopwatch, type Run } from "./step.ts";

/** `matrix`: the products of f16 on tensor cores instead, kept beside what was tuned without. */
export async function tuneAll(run: Run, toggles: "safe" | "matrix" = "safe"): Promise<void> {
  const { adapter } = await open(toggles, { ...run, out: "" });
  if (toggles === "matrix") {
    const { on, reason } = await useSubgroupMatrix();
    if (!on) throw new Error(`gpu: expected products on tensor cores, got none: ${reason}`);
  }
  const over = stopwatch(run.seconds);
  const answers: Answer[] = [];
  const keep = (total: number) =>
    save(run.out, toggles === "safe" ? "tune" : "tune-matrix", {
      adapter,
      choices: Object.fromEntries(answers.map((a) => [a.question, a.choice])),
      answers,
      total,
    });
  const questions = [...new Set(toggles === "safe" ? asked(run.smoke) : askedOfMatrices(run.smoke))];
  let wrong = 0;
  for (const question of questions) {
    if (over()) break;
    const problem = problemOf(question)!;
    try {
      const answer = await tune(problem);
      answers.push(answer);
      for (const m of answer.measured.filter((one) => one.wrong)) {
        wrong++;
        console.log(`WRONG, not used: ${m.name} for ${question}: ${m.out}`);
      }
      console.log(`${question}: ${answer.choice}${answer.choice === DEFAULT ? "" : `, ${answer.gain} times as fast as the default`}`);
    } catch (error) {
      console.log(`${question}: ${(error as Error).message}`);
    } finally {
      problem.dispose();
    }
    keep(questions.length);
  }
  keep(questions.length);
  console.log(`${answers.length} of ${questions.length} shapes tuned`);
  if (wrong > 0) throw new Error(`gpu: expected every kernel to be right, got ${wrong} that were wrong`);
}

function askedOfMatrices(smoke: boolean): string[] {
  const of = (size: Size) => modelQuestions(createModel(modelName(size)), smoke ? 2 : 256, true, "f16");
  const found = (smoke ? ["tiny" as const] : (["small", "base", "tiny"] as const)).flatMap(of).filter((q) => q.startsWith("gemm.matrix"));
  return smoke ? found.slice(0, 2) : found;
}

function asked(smoke: boolean): string[] {
  if (smoke) {
    const work = modelCase("train", "tiny", 2, true).work;
    return "config" in work ? modelQuestions(createModel({ ...work.config }), 2, true).slice(0, 2) : [];
  }
  const of = (size: Size) => modelQuestions(createModel(modelName(size)), 256, true);
  return [
    ...opQuestions(ops["matmul"]!, "4096x4096x4096", false),
    ...of("small"),
    ...of("base"),
    ...of("tiny"),
    ...[384, 768].flatMap((D) => opQuestions(ops["linear"]!, `12608x${D}x${4 * D}`, true)),
  ];
}
