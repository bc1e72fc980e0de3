/** What an edited kernel does to a training step: a DeiT's, distilled, with the edit and without it, taking turns in one run. */
import { training } from "../../bench/cases/models.ts";
import type { Contender } from "../../bench/contender.ts";
import { ours } from "../../bench/ours.ts";
import { limitsFor, measure } from "../../bench/run.ts";
import { getDevice } from "../../engine/device.ts";
import { rewriteModules } from "../../checks/rewrite.ts";
import { edited } from "./check.ts";
import type { Edit } from "./module.ts";
import { compared, type Compared } from "./time.ts";

export interface StepVerdict extends Compared {
  /** The benchmark's name: model and images in a batch. */
  readonly step: string;
  /** Launches of a step that run the edit, of all. */
  readonly edited: number;
  readonly launches: number;
}

/** DeiT-S; where the processor plays a GPU, one that it can train: of width 96, on images of 32 pixels. */
const STEP = { gpu: "train deit_small_distilled_patch16_224 B32", software: "train deit_dim96_depth4_distilled_patch4_32 B8" } as const;

/** Null where the step does not run the kernel. Throws where the losses of four steps differ from those without the edit. */
export async function timeStep(edits: readonly Edit[]): Promise<StepVerdict | null> {
  const set = getDevice().adapter.software ? "software" : "gpu";
  const step = training.find(({ name }) => name === STEP[set])!;
  const plain = ours("");
  const rewrite = edited(edits);
  let replaced = 0;
  let launches = 0;
  const changed: Contender = {
    ...plain,
    name: "edited",
    async prepare(c, inputs) {
      replaced = 0;
      const stop = rewriteModules((module) => {
        const code = rewrite(module);
        if (code !== null) replaced++;
        return code;
      });
      try {
        const prepared = await plain.prepare(c, inputs);
        launches = prepared.launches!;
        if (replaced > 0) return prepared;
        prepared.dispose();
        throw new Error("expected a step that runs the kernel, got none");
      } finally {
        stop();
      }
    },
  };
  const measured = await measure(step, changed, [plain], { limits: { ...limitsFor(set, true), equalRuns: true } });
  if (launches > 0 && replaced === 0) return null;
  return { step: step.name.replace("train ", ""), edited: replaced, launches, ...compared(measured, plain.name, set) };
}
