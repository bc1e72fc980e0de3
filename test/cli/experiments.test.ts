/** The experiments as data, what a run is made of, the queue, and what figures are said to show. Running them takes hours and is not tested here. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { differing } from "../../cli/experiments/agreement.ts";
import { chart } from "../../cli/experiments/chart.ts";
import { judge } from "../../cli/experiments/claims.ts";
import { Commands } from "../../cli/experiments/command.ts";
import type { Identity } from "../../cli/experiments/identity.ts";
import { markdown } from "../../cli/experiments/markdown.ts";
import { trainCommand } from "../../cli/experiments/one-run.ts";
import { identityFile, putAside, resultFile, runFolder, type Outcome } from "../../cli/experiments/outcome.ts";
import { page } from "../../cli/experiments/page.ts";
import { Place } from "../../cli/experiments/place.ts";
import { runAll, secondsLeft, tasksOf, type Task } from "../../cli/experiments/queue.ts";
import { deviation, difference } from "../../cli/experiments/statistics.ts";
import type { Results } from "../../cli/experiments/results.ts";
import { collect } from "../../cli/experiments/tables.ts";
import { teacherAnswers } from "../../cli/experiments/teacher.ts";
import { createModel } from "../../models/model.ts";
import { writeSafetensors, type SafeTensor } from "../../models/checkpoints/safetensors.ts";
import { writeWeights } from "../../models/checkpoints/weights.ts";
import { ablated, INGREDIENTS, type IngredientName } from "../../train/experiments/ablation.ts";
import { claims } from "../../train/experiments/claims.ts";
import { perClass, TABLES, type Run } from "../../train/experiments/experiment.ts";
import { SCALES } from "../../train/experiments/scales.ts";
import { student } from "../../train/experiments/students.ts";
import { runsOf, tablesOf } from "../../train/experiments/suite.ts";
import { equalPair } from "../../train/experiments/teachers.ts";
import { checkRecipe, makeRecipe } from "../../train/recipe.ts";

const scale = SCALES.rehearsal;
const folders: string[] = [];
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

/** A place with pictures for every set and a teacher, none of them real. */
function makePlace(): Place {
  const root = mkdtempSync(join(tmpdir(), "experiments-"));
  folders.push(root);
  const cnn = join(root, "cnn.safetensors");
  writeFileSync(cnn, "a teacher");
  const place = new Place(scale, root, { cnn, deit: null });
  const sets = new Set(runsOf(scale, TABLES, { deit: false }).flatMap(({ data, judged }) => [data, judged ?? data]));
  for (const set of sets) {
    mkdirSync(place.folder(set), { recursive: true });
    for (const split of ["train", "test"]) writeFileSync(join(place.folder(set), `${split}.bin`), `${split} of ${set}`);
  }
  return place;
}

const outcomeOf = (run: Run, seed: number, of: Identity, top1: Outcome["top1"]): Outcome => ({
  ...{ id: run.id, seed, of, top1 },
  command: `train ${run.id}`,
  trainTop1: 0.5,
  curve: [
    { epoch: 1, test: top1.model / 2, train: 0.2 },
    { epoch: 2, test: top1.model, train: 0.4 },
  ],
  steps: 10,
  seconds: 60,
  imagesPerSecond: 100,
  testImages: 10_000,
  adapter: { description: "some adapter", software: true },
  where: "node",
  commit: "abc",
  date: "2026-01-01",
});

/** Keeps a result as a finished run would. */
function keep(place: Place, run: Run, seed: number, top1: Outcome["top1"]): Outcome {
  const folder = runFolder(place.out, run.id, seed);
  const outcome = outcomeOf(run, seed, place.identity(run, seed)!, top1);
  mkdirSync(folder, { recursive: true });
  writeFileSync(identityFile(folder), JSON.stringify(outcome.of));
  writeFileSync(resultFile(folder), JSON.stringify(outcome));
  return outcome;
}

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

test("differences are of pairs with the same seed: mean, and the standard error of that mean", () => {
  const a = new Map([0.33, 0.34, 0.37, 0.99].map((v, seed) => [seed, 100 * v]));
  const b = new Map([0.3, 0.32, 0.34].map((v, seed) => [seed, 100 * v]));
  // Differences 3, 2, 3 points; the fourth seed has no partner. Their deviation is sqrt(1/3), the error a third of it.
  const { mean, error, seeds } = difference(a, b)!;
  expect([mean, error, seeds].map((v) => v!.toFixed(10))).toEqual([(8 / 3).toFixed(10), (1 / 3).toFixed(10), "3.0000000000"]);
  expect(difference(a, new Map())).toBeNull();
  expect(deviation([5])).toBeNull();
  expect(differing(Uint8Array.of(1, 2, 3, 4), Uint8Array.of(1, 2, 4, 3))).toBe(0.5);
});

test("a comparison agrees or differs beyond two standard errors only; equal figures must surely lie within a point", () => {
  const of = (mean: number, error: number | null) => ({ mean, error, seeds: 5 });
  expect([of(1, 0.4), of(-1, 0.4), of(1, 0.6), of(3, null)].map((e) => judge(e, "better"))).toEqual([
    "agrees",
    "differs",
    "not told apart",
    "one seed",
  ]);
  expect([of(0.2, 0.3), of(0.2, 0.6), of(1.5, 0.3)].map((e) => judge(e, "same"))).toEqual(["agrees", "not told apart", "differs"]);
  expect(judge(null, "same")).toBe("not run");
});

/** Logits whose best classes are `best`, as eval --logits writes them. */
function writeAnswers(path: string, best: Readonly<Record<string, readonly number[]>>): void {
  mkdirSync(dirname(path), { recursive: true });
  const logits = (of: readonly number[]) =>
    Float32Array.from({ length: 10 * of.length }, (_, i) => (i % 10 === of[Math.floor(i / 10)] ? 1 : -1));
  const tensors = Object.entries(best).map(([name, of]): [string, SafeTensor] => [
    name,
    name === "labels"
      ? { dtype: "I32", shape: [of.length], data: Int32Array.from(of) }
      : { dtype: "F32", shape: [of.length, 10], data: logits(of) },
  ]);
  writeFileSync(path, writeSafetensors(tensors));
}

test("agreement: shares of the pictures on which labels, teacher and students differ, and how much nearer to its teacher a student is", () => {
  const place = makePlace();
  const [token, none] = (["token", "none"] as const).map((method) => student(scale, method, scale.distillation));
  const labels = [0, 1, 2, 3];
  writeAnswers(teacherAnswers(place), { labels, logits: [0, 1, 2, 9] });
  for (const seed of [0, 1]) {
    keep(place, token!, seed, { model: 0.5, cls: 0.5, dist: 0.5 });
    keep(place, none!, seed, { model: 0.25 });
    const answers = (run: Run) => join(runFolder(place.out, run.id, seed), "answers.safetensors");
    writeAnswers(answers(token!), { labels, logits: [0, 1, 5, 9], logits_cls: [0, 1, 5, 3], logits_dist: [0, 1, 2, 9] });
    writeAnswers(answers(none!), { labels, logits: [0, 7, 7, seed === 0 ? 7 : 9] });
  }
  const { apart, seeds, nearer } = collect(place).agreement!;
  expect(seeds).toBe(2);
  // Rows and columns: truth, CNN, no teacher, class head, distillation head, both.
  expect(apart.map((row) => row.map(({ mean }) => mean))).toEqual([
    [0],
    [25, 0],
    [75, 62.5, 0],
    [25, 50, 75, 0],
    [25, 0, 62.5, 50, 0],
    [50, 25, 62.5, 25, 25, 0],
  ]);
  expect(nearer).toEqual({ mean: 37.5, error: 12.5, seeds: 2 });
});

/** Tables of runs that never were: none at 30 %, hard at 34 and 36 %. */
function someResults(): Results {
  const place = makePlace();
  const [none, hard] = (["none", "hard"] as const).map((method) => student(scale, method, scale.distillation));
  [0.3, 0.3].forEach((model, seed) => keep(place, none!, seed, { model }));
  [0.34, 0.36].forEach((model, seed) => keep(place, hard!, seed, { model }));
  keep(place, student(scale, "hard", scale.lengths[0]!), 0, { model: 0.38 });
  const results = collect(place);
  return { ...results, outcomes: results.outcomes.map((o) => ({ ...o, command: "train <script>" })) };
}

test("tables, verdicts and page say the same figures; the page escapes what it is given and needs nothing else", () => {
  const results = someResults();
  const claim = results.verdicts.find(({ text }) => text === "Hard distillation beats no distillation")!;
  expect(claim.judgement).toBe("agrees");
  expect(claim.parts.map(({ judgement }) => judgement)).toEqual(["agrees", "not run"]);
  expect(results.tables.map(({ name }) => name)).toEqual(["regimes", "distillation"]);
  // Gains at the table's own length and at another one, from the table of regimes.
  expect(results.tables[1]!.about.at(-1)).toBe(
    "The choice, by the table of regimes: gains over no distillation by epochs of 100 pictures: 1: hard, one token +5.0 ± 1.0.",
  );
  for (const made of [markdown(results), page(results)]) {
    expect(made).toContain("hard, one token");
    expect(made).toContain("some adapter (software)");
    expect(made).toContain("+5.0 ± 1.0");
  }
  const html = page(results);
  expect(html).not.toMatch(/<script|NaN|Infinity|undefined/);
  expect(html.match(/<svg class="chart"/g)!.length).toBeGreaterThanOrEqual(4);
  expect(html.match(/ id="/g)!.length).toBe(2);
});

test("a chart's points are where its axes say, also with one value and with errors", () => {
  const svg = chart({
    title: "t",
    x: "x",
    y: "y",
    lines: [{ label: "a < b", points: [1, 10, 100].map((x) => ({ x, y: x / 10, error: 1 })) }],
    log: true,
  });
  const points = /points="([^"]+)"/
    .exec(svg)![1]!
    .split(" ")
    .map((p) => p.split(",").map(Number) as [number, number]);
  expect(points[1]![0] - points[0]![0]).toBeCloseTo(points[2]![0] - points[1]![0], 0);
  expect(points[0]![1] - points[1]![1]).toBeLessThan(points[1]![1] - points[2]![1]);
  expect(svg).toContain("a &#60; b");
  expect(chart({ title: "t", x: "x", y: "y", lines: [{ label: "one", points: [{ x: 5, y: 50 }] }] })).not.toMatch(/NaN|Infinity/);
});

const RESULTS = new URL("../../train/experiments/results/", import.meta.url);
for (const name of Object.keys(SCALES).filter((scale) => existsSync(new URL(`${scale}/results.json`, RESULTS))))
  test(`the committed tables and page of scale ${name} are what its figures say`, () => {
    const file = (path: string) => readFileSync(new URL(`${name}/${path}`, RESULTS), "utf8");
    const results = JSON.parse(file("results.json")) as Results;
    expect(markdown(results)).toBe(file("RESULTS.md"));
    expect(page(results)).toBe(file("results.html"));
  });
