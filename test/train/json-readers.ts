/** The readers of JSON files, each with a whole file to damage. What they return is put to the use that a command makes of it. */
import { compare } from "../../bench/compare.ts";
import { mergeResults, readResults } from "../../bench/result-file.ts";
import { runOf } from "../../jobs/convert/run-record.ts";
import { Random } from "../../kernels/shared/random.ts";
import { infoOf } from "../../models/checkpoints/weights.ts";
import { createModel } from "../../models/model.ts";
import { recipeSteps } from "../../train/input/order.ts";
import { augmentOf } from "../../train/input/step-input.ts";
import { readMeta } from "../../train/checkpoint-meta.ts";
import { checkRecipe, makeRecipe } from "../../train/recipe.ts";
import { learningRate } from "../../train/schedule.ts";
import { made } from "../bench/made.ts";
import { damagedJson } from "../fuzz-json.ts";
import type { Fuzzed } from "./fuzz-readers.ts";

type Settings = Readonly<Record<string, unknown>>;

const MODEL = { arch: "deit", imgSize: 32, patchSize: 4, dim: 96, depth: 6, heads: 3, numClasses: 10, distilled: true, mlpRatio: 4 };
const REGNET = { arch: "regnety", imgSize: 32, numClasses: 10 };
const RESNET = { arch: "resnet", imgSize: 32, depths: [1, 1, 1, 1], stemWidth: 8, width: 8, numClasses: 10 };
const RECIPE = makeRecipe({ batchSize: 20, epochs: 10, warmupEpochs: 1, repeats: 1 });
const RESULT = made({ cases: { "matmul 64x64x64": 2, "train x B1": 3 } });
const RECORD = {
  ...{ format: "tessera-checkpoint", version: 2, epoch: 1, stepInEpoch: 2, step: 12, seed: 7, sha256: "0".repeat(64) },
  ...{
    recipe: RECIPE,
    model: MODEL,
    origin: { train: { count: 50 } },
    about: { classes: ["a", "b"], mean: [0.5], std: [0.2], teacher: "t" },
  },
};

interface Reader {
  readonly files: readonly object[];
  read(text: string): unknown;
}

const objectIn = (text: string): Settings => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("expected a JSON object, got another thing");
  return value as Settings;
};

export const JSON_READERS: Readonly<Record<"recipe" | "model" | "record" | "result", Reader>> = {
  recipe: {
    files: [RECIPE, { lr: 1e-3, autoAugment: "rand-m9-mstd0.5-inc1" }],
    read(text) {
      const recipe = makeRecipe(objectIn(text));
      const student = { distilled: recipe.distillation !== "none" && !recipe.singleToken, numClasses: 10, transformer: true };
      checkRecipe(recipe, student, recipe.distillation === "none" ? null : student);
      augmentOf(recipe, 32);
      const stepsPerEpoch = recipeSteps(50_000, recipe);
      for (const epoch of [0, 1, recipe.epochs - 1]) {
        const lr = learningRate(recipe, { epoch, step: epoch * stepsPerEpoch, stepsPerEpoch });
        if (!Number.isFinite(lr)) throw new RangeError(`a learning rate of ${lr} from a recipe that was accepted`);
      }
    },
  },
  model: {
    files: [MODEL, REGNET, RESNET],
    read(text) {
      const { params, macs } = createModel(objectIn(text));
      if (!(macs >= 0 && Number.isFinite(macs) && params.length < 50_000))
        throw new RangeError(`a model of ${params.length} parameters, ${macs}`);
    },
  },
  record: {
    files: [RECORD],
    read(text) {
      infoOf({ tessera: text }, "safetensors");
      readMeta({ tessera: text });
      runOf(text);
    },
  },
  result: {
    files: [RESULT],
    read(text) {
      const results = readResults([{ name: "a.json", content: objectIn(text) }]);
      const whole = mergeResults(results.map(({ result }) => result));
      if (whole.where === RESULT.where && whole.adapter.vendor === "acme" && whole.adapter.software) compare(RESULT, whole);
    },
  },
};

/** A refusal: an error of this project, in one line. */
const refuses = (error: unknown): boolean =>
  error instanceof Error &&
  ["Error", "ResumeError"].includes(error.name) &&
  !error.message.includes("\n") &&
  /expected |recipe: /.test(error.message);

/** Reads `inputs` damaged files. Throws where a reader fails otherwise than by a refusal, with the text that it failed of. */
export function fuzzJson({ files, read }: Reader, inputs: number, seed: number): Omit<Fuzzed, "mostPerByte"> {
  const random = new Random(seed, 0x6a736f6e);
  let [whole, slowestMs] = [0, 0];
  for (let i = 0; i < inputs; i++) {
    const text = damagedJson(files[i % files.length] as never, random);
    const startMs = performance.now();
    try {
      read(text);
      whole++;
    } catch (error) {
      if (!refuses(error))
        throw new Error(`fuzz: expected a refusal of input ${i}, got ${String(error)} for ${text.slice(0, 3000)}`, { cause: error });
    }
    slowestMs = Math.max(slowestMs, performance.now() - startMs);
  }
  return { inputs, read: whole, refused: inputs - whole, slowestMs };
}
