/**
 * The defaults of `fineTune`, by experiment: three sets, 10, 40 and 200 pictures of each of ten classes, each way to train. With 10 and 40
 * pictures rates beside the default one are tried too; with 200 the other ways than "head" have the default rate alone, since they take
 * minutes. TESSERA_DEIT: a file of a small DeiT for the ways that need a transformer (the demo's student serves).
 */
import { afterAll, describe, expect, test } from "vitest";
import { readFileSync } from "node:fs";
import type { Example, FineTuneOptions } from "../../tasks/api.ts";
import { loadModel } from "../../tasks/load-model.ts";
import { headRate } from "../../tasks/tune-head.ts";
import { cifar, drawn, type SmallSet } from "./small-sets.ts";

const DEFAULT = { all: 4e-4, attention: 5e-4, lora: 2e-3 };
const DEIT = process.env["TESSERA_DEIT"];
/** To look around: epochs and rates in place of the default ones, which are not judged then. */
const EPOCHS = process.env["TESSERA_EPOCHS"];
const RATES = process.env["TESSERA_RATES"]?.split(",").map(Number);
/** Two standard errors of a share near a half, of 300 pictures. */
const TWO_ERRORS = 0.058;

const sets = new Map<string, SmallSet>();
const rows: string[] = [];
afterAll(() => console.log(rows.join("\n")));

const first = (set: SmallSet, each: number): Example[] => set.train.flatMap((of) => of.slice(0, each));

const WAYS: readonly [string, string | undefined, NonNullable<FineTuneOptions["train"]>][] = [
  ["RegNetY", "app/data/teacher/regnety-cifar10.safetensors", "head"],
  ["RegNetY", "app/data/teacher/regnety-cifar10.safetensors", "all"],
  ["DeiT", DEIT, "head"],
  ["DeiT", DEIT, "lora"],
  ["DeiT", DEIT, "attention"],
  ["DeiT", DEIT, "all"],
];

const defaultRate = (train: string, examples: number): number =>
  train === "head" ? headRate(examples) : DEFAULT[train as keyof typeof DEFAULT];

function ratesOf(train: string, rate: number, each: number): readonly number[] {
  if (train === "head") return [rate / 3, rate, rate * 3];
  return each === 200 ? [rate] : [rate / 4, rate, rate * 4];
}

describe.each(["CIFAR-10", "letters", "shapes"])("%s", (name) => {
  describe.each([10, 40, 200])("%i a class", (each) => {
    const ways = WAYS.filter(([, file, train]) => file && (each < 200 || train !== "attention"));
    test.each(ways)("%s %s %s", { timeout: 3_600_000 }, async (family, file, train) => {
      if (sets.size === 0) for (const set of [cifar(), ...(await drawn())]) sets.set(set.name, set);
      const set = sets.get(name)!;
      const usual = defaultRate(train, set.train.length * each);
      const rates = RATES ?? ratesOf(train, usual, each);
      const base = await loadModel(new Uint8Array(readFileSync(file!)));
      const top1 = new Map<number, number>();
      for (const learningRate of rates) {
        const { model, epochs } = await base.fineTune(first(set, each), {
          ...{ train, learningRate, validation: set.held },
          ...(EPOCHS ? { epochs: Number(EPOCHS) } : {}),
        });
        const { test: held } = epochs.at(-1)!;
        top1.set(learningRate, held!.model.top1);
        rows.push(
          `| ${name} | ${each} | ${family} | ${train} | ${learningRate} | ${(100 * held!.model.top1).toFixed(1)} | ${held!.model.loss.toFixed(3)} |`,
        );
        console.log(rows.at(-1));
        model.dispose();
      }
      base.dispose();
      if (EPOCHS || RATES) return;
      expect(top1.get(usual)).toBeGreaterThan(Math.max(...top1.values()) - TWO_ERRORS);
      if (each === 200 && train === "all") expect(top1.get(usual)).toBeGreaterThan(0.3); // of ten classes, each as likely
    });
  });
});
