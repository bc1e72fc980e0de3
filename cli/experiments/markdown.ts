/** The experiments' results as Markdown: claims, then tables. The curves are in the page. */
import { MODELS, PAPER, type Agreement } from "./agreement.ts";
import type { LineGroup, Results, TableResult } from "./results.ts";
import { commands, comparedText, describe, elsewhereText, gainText, mirrorText, one, signed, TITLE } from "./words.ts";

export function markdown(results: Results): string {
  return [
    `# ${TITLE}`,
    "",
    ...describe(results).flatMap((line) => [line, ""]),
    "## Claims",
    "",
    "A comparison agrees if its difference has the paper's sign beyond two standard errors, differs if it has the other one; figures that the paper finds equal must lie within one point, errors included.",
    "",
    "| the paper's claim | verdict |",
    "|---|---|",
    ...results.verdicts.map(({ text, judgement }) => `| ${text} | ${judgement} |`),
    "",
    ...results.verdicts.flatMap((v) => [
      `**${v.text}** (${v.paper}): ${v.judgement}.`,
      "",
      ...v.parts.map((part) => `- ${comparedText(part)}`),
      ...(v.elsewhere.length > 0 ? [`- ${elsewhereText(v)}`] : []),
      "",
    ]),
    ...results.tables.flatMap((table) => section(table, results.agreement)),
    "## The commands",
    "",
    ...commands(results).flatMap(([label, command]) => [`- ${label}`, "", `      ${command}`, ""]),
  ].join("\n");
}

const section = ({ name, title, about, groups }: TableResult, agreed: Agreement | null): string[] => [
  `## ${title}`,
  "",
  ...about.flatMap((line) => [line, ""]),
  ...groups.flatMap(group),
  ...(name === "distillation" && agreed ? agreement(agreed) : []),
];

const group = ({ title, lines }: LineGroup): string[] => [
  `### ${title}`,
  "",
  "| run | test top-1 %, mean | deviation | seeds | gain ± standard error | training top-1 % | paper, ImageNet | paper's gain | PyTorch ± error (seeds) |",
  "|---|---|---|---|---|---|---|---|---|",
  ...lines.map(
    (l) =>
      `| ${l.label} | ${one(l.mean)} | ${one(l.deviation)} | ${l.values.length} | ${gainText(l.gain)} | ${one(l.trainTop1)} | ${one(l.paper)} | ${signed(l.paperGain)} | ${mirrorText(l)} |`,
  ),
  "",
];

const agreement = ({ apart, seeds }: Agreement): string[] => [
  "### Share of the test pictures on which two models differ (table 4)",
  "",
  `In percent, mean ± standard error of ${seeds} seeds; in brackets the paper's.`,
  "",
  `| | ${MODELS.join(" | ")} |`,
  `|---|${MODELS.map(() => "---").join("|")}|`,
  ...apart.map(
    (row, i) =>
      `| ${MODELS[i]} | ${MODELS.map((_, j) => (j < row.length && j !== i ? `${one(row[j]!.mean)} ± ${one(row[j]!.error)} (${one(100 * PAPER[i]![j]!)})` : "")).join(" | ")} |`,
  ),
  "",
];
