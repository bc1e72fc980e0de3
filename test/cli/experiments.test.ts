/** The experiments as data, what a run is made of, and the queue. Running them takes hours and is not tested here. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Commands } from "../../cli/experiments/command.ts";
import { trainCommand } from "../../cli/experiments/one-run.ts";
import { putAside, resultFile, runFolder, type Outcome } from "../../cli/experiments/outcome.ts";
import { Place } from "../../cli/experiments/place.ts";
import { runAll, secondsLeft, tasksOf, type Task } from "../../cli/experiments/queue.ts";
import { collect } from "../../cli/experiments/tables.ts";
import { createModel } from "../../models/model.ts";
import { writeWeights } from "../../models/checkpoints/weights.ts";
import { ablated, INGREDIENTS, type IngredientName } from "../../train/experiments/ablation.ts";
import { claims } from "../../train/experiments/claims.ts";
import { perClass, TABLES } from "../../train/experiments/experiment.ts";
import { SCALES } from "../../train/experiments/scales.ts";
import { student } from "../../train/experiments/students.ts";
import { runsOf, tablesOf } from "../../train/experiments/suite.ts";
import { equalPair } from "../../train/experiments/teachers.ts";
import { checkRecipe, makeRecipe } from "../../train/recipe.ts";
import { keep, makePlace, outcomeOf, scale } from "./experiments-place.ts";

test("every run's recipe is one that training accepts, with a teacher where there is distillation, at all scales", () => {
  for (const each of Object.values(SCALES)) {
    const runs = runsOf(each, TABLES, { deit: false });
    expect(runs.length).toBeGreaterThan(60);
    for (const { id, recipe, model, teacher, data } of runs) {
      const parsed = makeRecipe(recipe);
      expect(parsed, `${each.name} ${id}`).toMatchObject(recipe);
      expect(parsed.distillation === "none", `${id}: a teacher where there is distillation`).toBe(teacher === undefined);
      expect(model !== "best-deit" && model["distilled"] === true, `${id}: a token where there is one to distil into`).toBe(
        parsed.distillation !== "none" && !parsed.singleToken,
      );
      const { distilled, numClasses } = createModel(model === "best-deit" ? each.deit : model);
      const transformer = !id.startsWith("teacher/cnn");
      expect(() => checkRecipe(parsed, { distilled, numClasses, transformer }, teacher ? { numClasses: 10 } : null), id).not.toThrow();
      // A set has at least one whole batch.
      expect(10 * perClass(data), id).toBeGreaterThanOrEqual(parsed.batchSize);
    }
  }
});

test("runs of one id are one run, and no two runs of other settings share a folder", () => {
  for (const each of Object.values(SCALES)) {
    const settings = new Map<string, string>();
    const rows = tablesOf(each).flatMap(({ groups, curves }) => [...groups, ...curves].flatMap(({ rows }) => rows));
    const all = [...rows, ...claims(each).flatMap(({ parts, elsewhere }) => [...parts, ...elsewhere].flatMap(({ a, b }) => [a, b]))];
    for (const { run } of all) {
      const { id, seeds: _, ...rest } = run;
      expect(JSON.stringify(rest), `${each.name} ${id}`).toBe(settings.get(id) ?? JSON.stringify(rest));
      settings.set(id, JSON.stringify(rest));
    }
    expect(new Set(settings.values()).size).toBe(settings.size);
    // What a claim compares is run by some table.
    const run = new Set(runsOf(each, TABLES, { deit: false }).map(({ id }) => id));
    expect([...settings.keys()].filter((id) => !run.has(id))).toEqual([]);
  }
});

test("each row of the ablation changes the paper's recipe in what its label says, and in nothing else", () => {
  const at = scale.ablation;
  const reference = ablated(scale, "reference", at).run.recipe;
  const changed = (name: IngredientName) => {
    const { recipe } = ablated(scale, name, at).run;
    return Object.keys(recipe).filter((key) => recipe[key] !== reference[key]);
  };
  expect(Object.fromEntries((Object.keys(INGREDIENTS) as IngredientName[]).map((name) => [name, changed(name).sort()]))).toEqual({
    reference: [],
    sgd: ["lr", "optimizer"],
    "no-randaugment": ["autoAugment", "colorJitter"],
    autoaugment: ["autoAugment"],
    "no-mixup": ["mixup"],
    "no-cutmix": ["cutmix"],
    "no-mixing": ["cutmix", "mixup"],
    "no-erasing": ["erasing"],
    "no-droppath": ["dropPath"],
    "no-repeats": ["repeats"],
    dropout: ["dropout"],
    "crop-flip": ["autoAugment", "colorJitter", "cutmix", "dropPath", "erasing", "mixup", "repeats"],
    nothing: ["autoAugment", "colorJitter", "crop", "cutmix", "dropPath", "erasing", "hflip", "mixup", "repeats"],
  });
});

test("teachers are trained before what they teach; a table alone brings those that it needs", () => {
  const runs = runsOf(scale, TABLES, { deit: false });
  const lastTeacher = runs.findLastIndex(({ id }) => id.startsWith("teacher/"));
  for (const [i, { teacher, from, id }] of runs.entries())
    if ((teacher ?? "cnn") !== "cnn" || from) expect(i, id).toBeGreaterThan(lastTeacher);
  const count = (given: boolean, kind: string) =>
    runsOf(scale, ["transfer"], { deit: given }).filter(({ id }) => id.startsWith(`teacher/${kind}`)).length;
  expect([count(false, "deit"), count(false, "cnn"), count(true, "deit")]).toEqual([scale.deits.length, 0, 0]);
});

test("the teachers of equal accuracy are the nearest pair, of equally near ones the first", () => {
  const judged = (...tops: number[]) => tops.map((top1) => ({ id: String(top1), top1 }));
  expect(equalPair(judged(40, 52, 60), judged(47, 61.5))).toMatchObject({ cnn: { top1: 60 }, deit: { top1: 61.5 } });
  expect(equalPair(judged(40, 42), judged(41))).toMatchObject({ cnn: { top1: 40 } });
});

test("a run whose settings, pictures or teacher changed is not taken for the kept one; its folder is put aside, nothing of it lost", () => {
  const place = makePlace();
  const run = student(scale, "hard", scale.distillation);
  keep(place, run, 0, { model: 0.4 });
  expect(place.outcome(run, 0)?.top1.model).toBe(0.4);
  // The order of keys and the place of the files say nothing.
  const reversed = { ...run, recipe: Object.fromEntries(Object.entries(run.recipe).reverse()) };
  expect(place.outcome(reversed, 0)?.top1.model).toBe(0.4);
  expect(putAside(place.out, reversed, 0, place.identity(reversed, 0)!)).toBeNull();

  expect(place.outcome({ ...run, recipe: { ...run.recipe, lr: 5e-4 } }, 0)).toBeNull();
  expect(place.outcome({ ...run, judged: "cifar10/20" }, 0)).toBeNull();
  writeFileSync(place.cnn, "another teacher");
  expect(place.outcome(run, 0)).toBeNull();
  expect(collect(place).outcomes).toEqual([]);

  const aside = putAside(place.out, run, 0, place.identity(run, 0)!)!;
  expect(JSON.parse(readFileSync(resultFile(aside), "utf8")).top1.model).toBe(0.4);
  expect(existsSync(runFolder(place.out, run.id, 0))).toBe(false);
  keep(place, run, 0, { model: 0.5 });
  writeFileSync(join(place.folder(run.data), "train.bin"), "more pictures");
  expect(place.outcome(run, 0)).toBeNull();
  expect(putAside(place.out, run, 0, place.identity(run, 0)!)).not.toBe(aside);
  expect(readdirSync(join(place.out, "put-aside", run.id))).toHaveLength(2);
});

test("a run is one train command: model, data, folder, seed, teacher, weights and recipe", () => {
  const place = makePlace();
  const hard = trainCommand(student(scale, "hard", scale.distillation), 3, place, { adapter: "lavapipe" }).join(" ");
  expect(hard).toMatch(
    /^train --model \{"arch":"deit".*\} --data .*data\/cifar10-10 --out .*\/student\/hard\/10x1\/seed-3 --seed 3 --teacher .*cnn\.safetensors .*--distillation hard --single-token true --eval-every 1 --adapter lavapipe$/,
  );
});

test("transfer begins with the best of the trained DeiTs, as the model that its weights are of, or with the one that is given", () => {
  const place = makePlace();
  const tuned = runsOf(scale, ["transfer"], { deit: false }).find(({ id }) => id.startsWith("transfer/fashion/all"))!;
  expect(place.identity(tuned, 0)).toBeNull();
  const config = { arch: "deit", imgSize: 8, patchSize: 4, dim: 4, depth: 1, heads: 1, numClasses: 10 };
  const model = createModel(config);
  const zeros = new Map(model.params.map(({ name, shape }) => [name, { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) }]));
  const deits = runsOf(scale, ["teachers"], { deit: false }).filter(({ id }) => id.startsWith("teacher/deit"));
  deits.forEach((run, i) => {
    keep(place, run, 0, { model: 0.5 - i / 10 });
    const bytes = writeWeights(zeros, { config: model.config, classes: [`of ${i}`] });
    writeFileSync(join(runFolder(place.out, run.id, 0), "model.safetensors"), bytes);
  });
  expect(place.weights("best-deit")).toContain(`${deits[0]!.id}/seed-0`);
  expect(place.identity(tuned, 0)!.model).toMatchObject({ dim: 4 });
  expect(trainCommand(tuned, 0, place, {}).join(" ")).toContain(`${deits[0]!.id}/seed-0/model.safetensors --replace-head`);
  expect(new Place(scale, place.out, { cnn: place.cnn, deit: "given" }).weights("best-deit")).toBe("given");
});

test("a stopped queue names all that is left; going on does that and nothing twice", async () => {
  const place = makePlace();
  const runs = runsOf(scale, ["distillation"], { deit: false })
    .filter(({ teacher }) => (teacher ?? "cnn") === "cnn")
    .slice(0, 4);
  const tasks = tasksOf(runs, [0, 1]);
  expect(tasks.filter(({ run }) => run.seeds === 1).map(({ seed }) => seed)).toEqual(runs.filter(({ seeds }) => seeds === 1).map(() => 0));
  const worked: string[] = [];
  const stopping = new Commands(1);
  const work = async ({ run, seed }: Task): Promise<Outcome> => {
    worked.push(`${run.id} ${seed}`);
    if (worked.length === 2) stopping.stop();
    return keep(place, run, seed, { model: 0.3 });
  };
  const remaining = await runAll(tasks, { place, jobs: 1, commands: stopping, work });
  expect(remaining).toHaveLength(tasks.length - 2);
  expect(await runAll(tasks, { place, jobs: 2, commands: new Commands(2), work })).toEqual([]);
  expect(worked.sort()).toEqual(tasks.map(({ run, seed }) => `${run.id} ${seed}`).sort());

  const failing = async (): Promise<Outcome> => Promise.reject(new Error("no room"));
  const more = tasksOf(runs, [2]);
  await expect(runAll(more, { place, jobs: 1, commands: new Commands(1), work: failing })).rejects.toThrow("3 runs failed: no room");
  const waiting = runsOf(scale, ["distillation"], { deit: false }).filter(({ teacher }) => teacher === "equal-cnn");
  await expect(runAll(tasksOf(waiting, [0]), { place, jobs: 1, commands: new Commands(1), work })).rejects.toThrow(
    /every run to become possible, got 1 that wait/,
  );
});

test("time left: by the same run's other seeds, else by the speed of runs of its kind", () => {
  const place = makePlace();
  const [a, b] = [student(scale, "hard", scale.distillation), student(scale, "hard", scale.lengths[0]!)];
  const done = [outcomeOf(a, 0, place.identity(a, 0)!, { model: 0.3 })];
  expect(secondsLeft([{ run: a, seed: 1 }], done, 1, place)).toBe(60);
  expect(secondsLeft([{ run: b, seed: 0 }], done, 1, place)).toBeCloseTo(15 + (10 * 10 * 2) / 100, 10);
  expect(secondsLeft([{ run: a, seed: 1 }], done, 2, place)).toBe(30);
});
