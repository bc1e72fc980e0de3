/** What the experiments' figures are said to show: differences, verdicts, agreement, tables, the page and its charts. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { differing } from "../../cli/experiments/agreement.ts";
import { chart } from "../../cli/experiments/chart.ts";
import { judge } from "../../cli/experiments/claims.ts";
import { markdown } from "../../cli/experiments/markdown.ts";
import { runFolder } from "../../cli/experiments/outcome.ts";
import { page } from "../../cli/experiments/page.ts";
import { deviation, difference } from "../../cli/experiments/statistics.ts";
import type { Results } from "../../cli/experiments/results.ts";
import { collect } from "../../cli/experiments/tables.ts";
import { teacherAnswers } from "../../cli/experiments/teacher.ts";
import { writeSafetensors, type SafeTensor } from "../../models/checkpoints/safetensors.ts";
import type { Run } from "../../train/experiments/experiment.ts";
import { SCALES } from "../../train/experiments/scales.ts";
import { student } from "../../train/experiments/students.ts";
import { keep, makePlace, scale } from "./experiments-place.ts";

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
