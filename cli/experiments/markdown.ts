/** The experiments' tables as Markdown, with what agrees with the paper and what does not. */
import type { Table } from "../../train/experiments/suite.ts";
import { createModel } from "../../models/model.ts";
import { verdict } from "./verdict.ts";
import type { Line, Results } from "./tables.ts";

export const TITLES: Readonly<Record<Table, string>> = {
  distillation: "Distillation (the paper's tables 2 and 3)",
  ablation: "Ablation (table 8)",
  transfer: "Transfer (table 7 and section 6.4)",
  largest: "The largest runs from scratch: all of CIFAR-10, all 10,000 test images",
};

export const one = (v: number | null): string => (v === null ? "–" : v.toFixed(1));
export const signed = (v: number | null): string => (v === null ? "–" : `${v < 0 ? "−" : "+"}${Math.abs(v).toFixed(1)}`);
export const gainText = ({ gain }: Line): string =>
  gain ? `${signed(gain.mean)}${gain.error === null ? "" : ` ± ${one(gain.error)}`}` : "–";

export function markdown(results: Results): string {
  const tables = (Object.entries(results.tables) as [Table, readonly Line[]][]).filter(([, lines]) => lines.length > 0);
  return [
    "# The paper's experiments at a small scale",
    "",
    ...describe(results).flatMap((line) => [line, ""]),
    ...tables.flatMap(([table, lines]) => [
      `## ${TITLES[table]}`,
      "",
      "| run | test top-1 %, mean | deviation | seeds | gain ± standard error | train top-1 % | paper, ImageNet | paper's gain |",
      "|---|---|---|---|---|---|---|---|",
      ...lines.map(
        (l) =>
          `| ${l.label} | ${one(l.mean)} | ${one(l.deviation)} | ${l.values.length} | ${gainText(l)} | ${one(l.trainTop1)} | ${one(l.paper)} | ${signed(l.paperGain)} |`,
      ),
      "",
      ...verdict(table, lines, results.scale.name).map((line) => `- ${line}`),
      "",
    ]),
    "## The commands",
    "",
    ...commands(results).flatMap(([label, command]) => [`- ${label}`, "", `      ${command}`, ""]),
  ].join("\n");
}

/** What was run, on what, in sentences. */
export function describe({ scale, teacherTop1, outcomes, note }: Results): string[] {
  const adapters = [...new Set(outcomes.map((o) => `${adapterText(o.adapter)}, in ${o.where === "chromium" ? "Chromium" : "Node"}`))];
  const [dates, commits] = [[...new Set(outcomes.map((o) => o.date))], [...new Set(outcomes.map((o) => o.commit))]];
  const hours = outcomes.reduce((sum, o) => sum + o.seconds, 0) / 3600;
  return [
    `Scale "${scale.name}": ${scale.about}. ${outcomes.length} trainings, ${hours.toFixed(1)} hours of them together, several at a time. Adapter: ${adapters.join("; ")}. ${dates.join(", ")}, commit ${commits.join(", ")}.`,
    `The CNN teacher ships with the project (app/data/teacher; trained on all 50,000 images of CIFAR-10)${teacherTop1.cnn ? `: ${teacherTop1.cnn.map(({ data, top1, count }) => `${one(100 * top1)} % of the ${count.toLocaleString("en")} test images of ${data}`).join(", ")}` : ""}.${teacherTop1.deit === null ? "" : ` The DeiT teacher, trained on the same 50,000 images without a teacher for ${scale.epochs.teacher} epochs: ${one(teacherTop1.deit)} % of all 10,000. The transfer runs begin with it.`}`,
    "Gains are against a table's first row, in points, over pairs of runs with the same seed (the same images in the same order); the error is the standard error of that mean. The paper's figures are of DeiT-B on ImageNet with 300 epochs: the same comparisons" +
      `${more(scale, outcomes)}.`,
    ...(note === undefined ? [] : [note]),
  ];
}

/** Multiply-adds of DeiT-B's 300 epochs, forward. */
const PAPER = 300 * 1_281_024 * 17.5638e9;

/** How much more the paper computed for a row of its first table. */
function more({ student, batchSize }: Results["scale"], outcomes: Results["outcomes"]): string {
  const run = outcomes.find(({ id }) => id === "distillation/none");
  if (!run) return "";
  const times = PAPER / (run.steps * batchSize * createModel(student).macs);
  return `, at some ${times.toLocaleString("en", { maximumSignificantDigits: 1 })} times the computation`;
}

function adapterText(adapter: Readonly<Record<string, unknown>>): string {
  const text = ["description", "device", "architecture", "vendor"]
    .map((key) => adapter[key])
    .find((v) => typeof v === "string" && v !== "");
  return `${String(text ?? "unknown")}${adapter["software"] === true ? " (software)" : ""}`;
}

/** One command per experiment, of its first seed. */
export function commands({ outcomes }: Results): [string, string][] {
  const seen = new Set<string>();
  return outcomes.filter(({ id }) => !seen.has(id) && seen.add(id)).map(({ id, command }) => [id, command]);
}
