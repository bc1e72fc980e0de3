/** The experiments' results as one HTML page that needs nothing else: claims, tables, curves. */
import { MODELS, PAPER, type Agreement } from "./agreement.ts";
import { chart } from "./chart.ts";
import { chartsOf } from "./charts.ts";
import type { Judgement, Verdict } from "./claims.ts";
import { STYLE } from "./page-style.ts";
import { direction } from "./statistics.ts";
import type { Line, LineGroup, Results, TableResult } from "./results.ts";
import { commands, comparedText, describe, elsewhereText, gainText, mirrorText, one, signed, TITLE } from "./words.ts";

const escapeHtml = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

export function page(results: Results): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${TITLE}</title>
<style>${STYLE}</style>
<h1>${TITLE}</h1>
${describe(results).map(paragraph).join("\n")}
<h2>Claims</h2>
<p>A comparison agrees if its difference has the paper's sign beyond two standard errors, differs if it has the other one; figures that the paper finds equal must lie within one point, errors included. In the right column: the parts.</p>
<div class="scroll"><table class="claims"><thead><tr><th scope="col">the paper's claim</th><th scope="col">verdict</th><th scope="col">figures</th></tr></thead>
<tbody>
${results.verdicts.map(claim).join("\n")}
</tbody></table></div>
${results.tables.map((table) => section(table, results.agreement)).join("\n")}
<details><summary>Commands</summary>
${commands(results)
  .map(([id, command]) => `<p class="note">${escapeHtml(id)}</p><pre>${escapeHtml(command)}</pre>`)
  .join("\n")}
</details>
</html>
`;
}

const paragraph = (text: string): string => `<p>${escapeHtml(text)}</p>`;

const KINDS: Readonly<Record<Judgement | "in part", string>> = {
  agrees: "better",
  differs: "worse",
  "in part": "even",
  "not told apart": "even",
  "one seed": "even",
  "not run": "even",
};

function claim(v: Verdict): string {
  const more = elsewhereText(v);
  return `<tr><th scope="row">${escapeHtml(v.text)}<p class="note">${escapeHtml(v.paper)}</p></th><td class="${KINDS[v.judgement]}">${v.judgement}</td><td><ul>${v.parts
    .map((part) => `<li>${escapeHtml(comparedText(part))}</li>`)
    .join(
      "",
    )}</ul>${more === null ? "" : `<p>${escapeHtml(more)}</p>`}<p class="note"><a href="#${v.shown}">Its table and curves</a></p></td></tr>`;
}

const section = (table: TableResult, agreed: Agreement | null): string => `<h2 id="${table.name}">${escapeHtml(table.title)}</h2>
${table.about.map(paragraph).join("\n")}
<div class="charts">${chartsOf(table).map(chart).join("\n")}</div>
${table.groups.map(group).join("\n")}
${table.name === "distillation" && agreed ? agreement(agreed) : ""}`;

const HEAD = [
  "run",
  "test top-1 %",
  "deviation (seeds)",
  "gain ± error",
  "",
  "training top-1 %",
  "paper",
  "paper's gain",
  "PyTorch ± error (seeds)",
];
/** Columns that a narrow screen leaves out. */
const WIDE = [2, 5, 8];

function group({ title, lines }: LineGroup): string {
  const reach = Math.max(1, ...lines.flatMap(({ gain }) => (gain ? [Math.abs(gain.mean) + 2 * (gain.error ?? 0)] : [])));
  const classOf = (i: number) => (i === 4 ? ' class="mark"' : WIDE.includes(i) ? ' class="wide"' : "");
  const heads = HEAD.map((text, i) =>
    i === 4 ? `gain, −${reach.toFixed(0)} to +${reach.toFixed(0)} points, two errors either side` : text,
  );
  const cells = (l: Line) => [
    ...[one(l.mean), `${one(l.deviation)} (${l.values.length})`, gainText(l.gain)].map(escapeHtml),
    mark(l, reach),
    ...[one(l.trainTop1), one(l.paper), signed(l.paperGain), mirrorText(l)].map(escapeHtml),
  ];
  return `<h3>${escapeHtml(title)}</h3>
<div class="scroll"><table>
<thead><tr>${heads.map((text, i) => `<th scope="col"${classOf(i)}>${escapeHtml(text)}</th>`).join("")}</tr></thead>
<tbody>
${lines
  .map(
    (l) =>
      `<tr><th scope="row">${escapeHtml(l.label)}</th>${cells(l)
        .map((cell, i) => `<td${classOf(i + 1)}>${cell}</td>`)
        .join("")}</tr>`,
  )
  .join("\n")}
</tbody></table></div>`;
}

/** A gain as a dot with two standard errors on either side, on a line from -reach to +reach. */
function mark({ gain }: Line, reach: number): string {
  const x = (points: number) => `${(50 + (50 * points) / reach).toFixed(1)}%`;
  const zero = `<line class="zero" x1="50%" x2="50%" y1="0" y2="100%"/>`;
  if (!gain) return `<svg class="gain" role="img" aria-label="compared with">${zero}</svg>`;
  const { mean, error } = gain;
  const sign = direction(gain);
  const bar = error === null ? "" : `<line x1="${x(mean - 2 * error)}" x2="${x(mean + 2 * error)}" y1="50%" y2="50%" stroke-width="2"/>`;
  return `<svg class="gain" role="img" aria-label="${escapeHtml(gainText(gain))}">${zero}<g class="${sign === 1 ? "better" : sign === -1 ? "worse" : "even"}">${bar}<circle cx="${x(mean)}" cy="50%" r="3.5" stroke="none"/></g></svg>`;
}

const agreement = ({ apart, seeds }: Agreement): string => `<h3>Share of the test pictures on which two models differ (table 4)</h3>
<p>In percent, mean ± standard error of ${seeds} seeds; in brackets the paper's.</p>
<div class="scroll"><table><thead><tr><th scope="col"></th>${MODELS.map((name) => `<th scope="col">${name}</th>`).join("")}</tr></thead><tbody>
${apart
  .map(
    (row, i) =>
      `<tr><th scope="row">${MODELS[i]}</th>${MODELS.map((_, j) => `<td>${j < i ? `${one(row[j]!.mean)} ± ${one(row[j]!.error)} (${one(100 * PAPER[i]![j]!)})` : ""}</td>`).join("")}</tr>`,
  )
  .join("\n")}
</tbody></table></div>`;
