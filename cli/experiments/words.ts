/** The results' figures and sentences, which the Markdown and the page both print. */
import { createModel } from "../../models/model.ts";
import { EQUAL } from "../../train/experiments/teachers.ts";
import type { Compared, Verdict } from "./claims.ts";
import type { Estimate } from "./statistics.ts";
import type { Line, Results } from "./results.ts";

export const one = (v: number | null): string => (v === null || Number.isNaN(v) ? "–" : v.toFixed(1));
export const signed = (v: number | null): string => (v === null ? "–" : `${v < 0 ? "−" : "+"}${Math.abs(v).toFixed(1)}`);

/** "+1.2 ± 0.3". */
export const gainText = (gain: Estimate | null): string =>
  gain ? `${signed(gain.mean)}${gain.error === null ? "" : ` ± ${one(gain.error)}`}` : "–";

export const mirrorText = ({ mirror }: Line): string => {
  if (!mirror) return "";
  const verdict = mirror.within === null ? "" : mirror.within ? ", within two errors" : ", not within two errors";
  return `${one(mirror.mean)}${mirror.error === null ? "" : ` ± ${one(mirror.error)}`} (${mirror.seeds})${verdict}`;
};

export const TITLE = "The paper's experiments, each in a regime where its question has an answer";

/** What was run, on what. */
export function describe({ scale, teachers, outcomes, tables }: Results): string[] {
  const adapters = [...new Set(outcomes.map((o) => `${adapterText(o.adapter)}, in ${o.where === "chromium" ? "Chromium" : "Node"}`))];
  const [dates, commits] = [[...new Set(outcomes.map((o) => o.date))].sort(), [...new Set(outcomes.map((o) => o.commit))]];
  const hours = outcomes.reduce((sum, o) => sum + o.seconds, 0) / 3600;
  const { cnn, chosen } = teachers;
  const ran =
    outcomes.length === 0
      ? "Nothing has been run."
      : `${outcomes.length} runs, ${hours.toFixed(1)} hours of them together, several at a time. Adapter: ${adapters.join("; ")}. ${dates.join(", ")}, commit ${commits.join(", ")}.`;
  return [
    `Scale "${scale.name}": ${scale.about}. ${ran}`,
    ...(cnn
      ? [
          `The given CNN teacher (SHA-256 ${cnn.sha256.slice(0, 12)}…) is right on ${one(cnn.top1)} % of the ${cnn.count.toLocaleString("en")} test pictures.`,
        ]
      : []),
    ...(chosen.equal ? [equalText(chosen.equal)] : []),
    ...(tables.length === 0
      ? []
      : [
          `Students and teachers are judged by ${(scale.judged.endsWith("all") ? 10_000 : 1000).toLocaleString("en")} test pictures, learning curves by 1,000, targets by 2,000. Gains are against a group's first row, in points, over pairs of runs with the same seed (the same pictures in the same order); the error is the standard error of that mean. The paper's figures are of DeiT-B on ImageNet with 300 epochs: the same comparisons${more(scale, outcomes)}.`,
        ]),
  ];
}

function equalText({ cnn, deit }: NonNullable<Results["teachers"]["chosen"]["equal"]>): string {
  const apart = Math.abs(cnn.top1 - deit.top1);
  const said = apart <= EQUAL ? "" : `; they are ${one(apart)} points apart, which is not equal`;
  return `Teachers of equal accuracy, by rule the nearest pair: the CNN ${cnn.id.split("/").at(-1)!} with ${cnn.top1.toFixed(2)} % and the DeiT ${deit.id.split("/").at(-1)!} with ${deit.top1.toFixed(2)} % of all test pictures (pictures of a class x epochs)${said}.`;
}

/** Multiply-adds of DeiT-B's 300 epochs, forward. */
const PAPER = 300 * 1_281_024 * 17.5638e9;

/** How much more the paper computed for a row of its first table. */
function more({ student, recipe, distillation }: Results["scale"], outcomes: Results["outcomes"]): string {
  const run = outcomes.find(({ id }) => id === `student/none/${distillation.perClass}x${distillation.epochs}`);
  if (!run) return "";
  const times = PAPER / (run.steps * Number(recipe["batchSize"]) * createModel(student).macs);
  return `, at some ${times.toLocaleString("en", { maximumSignificantDigits: 1 })} times the computation`;
}

function adapterText(adapter: Readonly<Record<string, unknown>>): string {
  const text = ["name", "description", "device", "architecture", "vendor"]
    .map((key) => adapter[key])
    .find((v) => typeof v === "string" && v !== "");
  return `${String(text ?? "unknown")}${adapter["software"] === true ? " (software)" : ""}`;
}

/** One comparison in words. */
export function comparedText({ label, judgement, difference, test, train }: Compared): string {
  if (!difference) return `${label}: ${judgement}`;
  const [a, b] = test;
  const sides = a === null || b === null ? "" : ` (${one(a)} against ${one(b)} %`;
  const trained = train[0] === null || train[1] === null ? "" : `; training pictures ${one(train[0])} against ${one(train[1])} %`;
  return `${label}: ${judgement}, ${gainText(difference)}${sides}${sides === "" ? "" : `${trained}; ${difference.seeds} ${difference.seeds === 1 ? "seed" : "seeds"})`}`;
}

/** What explains a verdict: the same comparison in other regimes. */
export const elsewhereText = ({ elsewhere }: Verdict): string | null =>
  elsewhere.length === 0
    ? null
    : `The same difference elsewhere: ${elsewhere.map(({ label, difference, train }) => `${label} ${gainText(difference)}${train[1] === null ? "" : ` (training pictures ${one(train[0])} against ${one(train[1])} %)`}`).join("; ")}.`;

/** One command per run, of its first seed. */
export function commands({ outcomes }: Results): [string, string][] {
  const seen = new Set<string>();
  return outcomes.filter(({ id }) => !seen.has(id) && seen.add(id)).map(({ id, command }) => [id, command]);
}
