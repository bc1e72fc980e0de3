/** The experiments as data and as tables: what is run, and what the figures are said to show. Running them takes hours and is not tested here. */
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { markdown } from "../../cli/experiments/markdown.ts";
import { page } from "../../cli/experiments/page.ts";
import { commandOf, runFolder } from "../../cli/experiments/run.ts";
import { collect, deviation, type Outcome, type Results } from "../../cli/experiments/tables.ts";
import { direction, verdict } from "../../cli/experiments/verdict.ts";
import { experiments, SCALES, TABLES } from "../../train/experiments/suite.ts";
import { makeRecipe } from "../../train/recipe.ts";

const scale = SCALES.small;
const all = experiments(scale);

const outcome = (id: string, seed: number, top1: Outcome["top1"]): Outcome => ({
  id,
  seed,
  top1,
  command: `train ${id}`,
  trainTop1: 0.5,
  trainLoss: 1,
  steps: 10,
  seconds: 60,
  imagesPerSecond: 100,
  testImages: 1000,
  adapter: { description: "some adapter", software: true },
  where: "node",
  commit: "abc",
  date: "2026-01-01",
});

/** Tables of runs that never were. */
function tablesOf(outcomes: readonly Outcome[]): ReturnType<typeof collect> {
  const out = mkdtempSync(join(tmpdir(), "experiments-"));
  for (const o of outcomes) {
    const folder = runFolder(out, o.id, o.seed);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "result.json"), JSON.stringify(o));
  }
  return collect(all, scale, out);
}

test("every experiment's recipe is one that training accepts, at both scales", () => {
  for (const each of Object.values(SCALES)) {
    for (const { id, recipe, model, teacher } of experiments(each)) {
      const parsed = makeRecipe(recipe);
      for (const [name, value] of Object.entries(recipe))
        expect(parsed[name as keyof typeof parsed], `${each.name} ${id} ${name}`).toEqual(value);
      expect(parsed.distillation === "none", `${id}: a teacher where there is distillation`).toBe(teacher === undefined);
      expect(model["distilled"] === true, `${id}: a token where there is one to distil into`).toBe(
        parsed.distillation !== "none" && !parsed.singleToken,
      );
    }
  }
});

test("each row of the ablation changes the reference's recipe in what its label says, and in nothing else", () => {
  const ablation = all.filter((e) => e.table === "ablation");
  const reference = ablation.find((e) => e.id === "ablation/reference")!.recipe;
  const changed = Object.fromEntries(
    ablation.map((e) => [e.id.split("/")[1], Object.keys(e.recipe).filter((key) => e.recipe[key] !== reference[key])]),
  );
  expect(changed).toEqual({
    reference: [],
    sgd: ["lr", "optimizer"],
    "no-randaugment": ["autoAugment"],
    autoaugment: ["autoAugment"],
    "no-mixup": ["mixup"],
    "no-cutmix": ["cutmix"],
    "no-mixing": ["mixup", "cutmix"],
    "no-erasing": ["erasing"],
    "no-droppath": ["dropPath"],
    "no-repeats": ["repeats"],
    dropout: ["dropout"],
    ema: ["emaDecay"],
  });
});

test("what a run begins with, or is taught by, stands before it", () => {
  all.forEach((e, i) => {
    if (e.from) expect(all.findIndex((other) => other.id === e.from)).toBeLessThan(i);
    if (e.teacher === "deit") expect(all.findIndex((other) => other.id === "teacher/deit")).toBeLessThan(i);
    expect(TABLES).toContain(e.table);
  });
});

test("a run is one train command: model, data, folder, seed, teacher, weights and recipe", () => {
  const task = (id: string, seed: number) => ({ experiment: all.find((e) => e.id === id)!, seed, folder: `out/${id}` });
  const options = { scale, out: "out", target: "clothes" };
  const hard = commandOf(task("distillation/hard", 3), options).join(" ");
  expect(hard).toMatch(
    /^train --model \{"arch":"deit".*\} --data cifar10-subset --out out\/distillation\/hard --seed 3 --teacher .*regnety-cifar10\.safetensors .*--distillation hard --single-token true/,
  );
  const tuned = commandOf(task("transfer/attention", 0), options).join(" ");
  expect(tuned).toContain("--data clothes ");
  expect(tuned).toContain("--weights out/teacher/deit/seed-0/model.safetensors --replace-head ");
  expect(tuned).toContain("--train-only attention");
});

test("gains are of pairs with the same seed: mean, and the standard error of that mean", () => {
  const none = [0.3, 0.32, 0.34].map((model, seed) => outcome("distillation/none", seed, { model }));
  const token = [0.33, 0.34, 0.37, 0.99].map((model, seed) =>
    outcome("distillation/token-cnn", seed, { model, cls: model - 0.01, dist: model - 0.02 }),
  );
  const lines = tablesOf([...none, ...token]).tables.distillation;
  expect(lines.map((l) => l.label)).toEqual([
    "no distillation",
    "hard, distillation token: class head",
    "hard, distillation token: distillation head",
    "hard, distillation token: both heads",
  ]);
  const both = lines[3]!;
  // Differences 3, 2, 3 points; the fourth seed has no partner. Their deviation is sqrt(1/3), the error a third of it.
  expect(both.gain!.seeds).toBe(3);
  expect(both.gain!.mean).toBeCloseTo(8 / 3, 10);
  expect(both.gain!.error).toBeCloseTo(1 / 3, 10);
  expect(both.values).toHaveLength(4);
  expect(lines[1]!.mean).toBeCloseTo(both.mean - 1, 10);
  expect(lines[0]!.gain).toBeNull();
  expect(both.paperGain).toBeCloseTo(1.6, 10);
  expect(deviation([5])).toBeNull();
});

test("a verdict counts differences beyond two standard errors only, on either side, and says which agree with the paper", () => {
  const runs = (id: string, values: readonly number[]) => values.map((model, seed) => outcome(id, seed, { model }));
  const { tables } = tablesOf([
    ...runs("ablation/reference", [0.5, 0.52, 0.51]),
    ...runs("ablation/sgd", [0.4, 0.41, 0.42]),
    ...runs("ablation/no-mixup", [0.6, 0.61, 0.6]),
    ...runs("ablation/ema", [0.52, 0.5, 0.515]),
    ...runs("ablation/dropout", [0.9]),
  ]);
  const of = (id: string) => tables.ablation.find((l) => l.id === `ablation/${id}`)!;
  expect([of("sgd"), of("no-mixup"), of("ema"), of("dropout")].map(direction)).toEqual([-1, 1, 0, null]);
  const said = verdict("ablation", tables.ablation, "small").join("\n");
  expect(said).toMatch(/As in the paper.*: SGD for AdamW\./);
  expect(said).toMatch(/Other than in the paper.*: no mixup\./);
  expect(said).toMatch(/Within two standard errors.*: with EMA\./);
  expect(said).toMatch(/One seed: not judged: with dropout 0\.1\./);
});

test("the table and the page show every row, the adapter as software, and escape what they are given", () => {
  const results = tablesOf([
    outcome("distillation/none", 0, { model: 0.3 }),
    { ...outcome("distillation/hard", 0, { model: 0.4 }), command: "train <script>" },
  ]);
  const [text, html] = [markdown(results), page(results)];
  for (const made of [text, html]) {
    expect(made).toContain("hard, one token");
    expect(made).toContain("some adapter (software)");
    expect(made).toContain("+10.0");
  }
  expect(html).not.toContain("<script");
});

test("the committed table and page are what the committed figures say, and hard distillation beats none beyond two standard errors there", () => {
  const file = (name: string) => readFileSync(new URL(`../../train/experiments/results/small/${name}`, import.meta.url), "utf8");
  const results = JSON.parse(file("results.json")) as Results;
  expect(markdown(results)).toBe(file("RESULTS.md"));
  expect(page(results)).toBe(file("results.html"));
  const hard = results.tables.distillation.filter((l) =>
    ["hard, one token", "hard, distillation token: distillation head"].includes(l.label),
  );
  expect(hard.map(direction)).toEqual([1, 1]);
});
