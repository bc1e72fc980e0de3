/** The experiments' results as one HTML page that needs nothing else. */
import type { Scale, Table } from "../../train/experiments/suite.ts";
import { commands, describe, gainText, one, signed, TITLES } from "./markdown.ts";
import type { Line, Results } from "./tables.ts";
import { direction, verdict } from "./verdict.ts";

const escapeHtml = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

const STYLE = `
:root { color-scheme: light dark; --page: light-dark(#fff, #15171a); --text: light-dark(#1c1f23, #e4e7eb); --soft: light-dark(#555c66, #a2abb7);
  --line: light-dark(#d9dde2, #343a42); --fill: light-dark(#f4f5f7, #1e2226); --better: light-dark(#0067a8, #5eb1ef); --worse: light-dark(#c2410c, #f59e5b); --none: light-dark(#8a929d, #7c8794); }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1rem 4rem; max-width: 62rem; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--text); background: var(--page); }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; text-wrap: balance; }
h2 { font-size: 1.15rem; margin: 3rem 0 .5rem; }
p, li { max-width: 44rem; } ul { padding-left: 1.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line); text-align: right; font-weight: 400; white-space: nowrap; }
th:first-child { text-align: left; white-space: normal; min-width: 11rem; }
thead th { color: var(--soft); font-size: .8125rem; vertical-align: bottom; white-space: normal; line-height: 1.3; }
th.chart, td.chart { min-width: 10rem; width: 28%; padding-right: 1.5rem; text-align: center; }
svg { display: block; width: 100%; height: 1.25rem; overflow: visible; }
.zero { stroke: var(--line); } .better { color: var(--better); } .worse { color: var(--worse); } .even { color: var(--none); }
svg g { stroke: currentColor; fill: currentColor; }
summary { cursor: pointer; color: var(--soft); } pre { background: var(--fill); padding: .75rem 1rem; border-radius: 4px; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8125rem; }
.note { color: var(--soft); font-size: .875rem; }
@media print { body { max-width: none; padding: 0; } :root { color-scheme: light; } details { display: none; } }
@media (max-width: 40rem) { .chart { min-width: 7rem; } .wide { display: none; } }
`;

export function page(results: Results): string {
  const tables = (Object.entries(results.tables) as [Table, readonly Line[]][]).filter(([, lines]) => lines.length > 0);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>The paper's experiments at a small scale</title>
<style>${STYLE}</style>
<h1>The paper's experiments at a small scale</h1>
${describe(results)
  .map((text) => `<p>${escapeHtml(text)}</p>`)
  .join("\n")}
${tables.map(([table, lines]) => section(table, lines, results.scale.name)).join("\n")}
<details><summary>Commands</summary>
${commands(results)
  .map(([id, command]) => `<p class="note">${escapeHtml(id)}</p><pre>${escapeHtml(command)}</pre>`)
  .join("\n")}
</details>
</html>
`;
}

function section(table: Table, lines: readonly Line[], scale: Scale["name"]): string {
  const reach = Math.max(1, ...lines.flatMap(({ gain }) => (gain ? [Math.abs(gain.mean) + 2 * (gain.error ?? 0)] : [])));
  const head = [
    "run",
    "test top-1 %",
    "deviation",
    "gain ± error",
    `gain, −${reach.toFixed(0)} to +${reach.toFixed(0)} points, two errors either side`,
    "train top-1 %",
    "paper",
    "paper's gain",
  ];
  const wide = new Set([2, 5]);
  const cell = (text: string, i: number) => `<td${wide.has(i) ? ' class="wide"' : ""}>${escapeHtml(text)}</td>`;
  return `<h2>${escapeHtml(TITLES[table])}</h2>
<div class="scroll"><table>
<thead><tr>${head.map((text, i) => `<th scope="col"${i === 4 ? ' class="chart"' : wide.has(i) ? ' class="wide"' : ""}>${escapeHtml(text)}</th>`).join("")}</tr></thead>
<tbody>
${lines.map((l) => `<tr><th scope="row">${escapeHtml(l.label)}</th>${cell(one(l.mean), 1)}${cell(`${one(l.deviation)} (${l.values.length})`, 2)}${cell(gainText(l), 3)}<td class="chart">${mark(l, reach)}</td>${cell(one(l.trainTop1), 5)}${cell(one(l.paper), 6)}${cell(signed(l.paperGain), 7)}</tr>`).join("\n")}
</tbody></table></div>
<ul>${verdict(table, lines, scale)
    .map((text) => `<li>${escapeHtml(text)}</li>`)
    .join("")}</ul>`;
}

/** A gain as a dot with two standard errors on either side, on a line from -reach to +reach. */
function mark(line: Line, reach: number): string {
  const x = (points: number) => `${(50 + (50 * points) / reach).toFixed(1)}%`;
  const zero = `<line class="zero" x1="50%" x2="50%" y1="0" y2="100%"/>`;
  if (!line.gain) return `<svg role="img" aria-label="compared with">${zero}</svg>`;
  const { mean, error } = line.gain;
  const kind = { "1": "better", "-1": "worse", "0": "even", null: "even" }[String(direction(line)) as "1" | "-1" | "0" | "null"];
  const bar = error === null ? "" : `<line x1="${x(mean - 2 * error)}" x2="${x(mean + 2 * error)}" y1="50%" y2="50%" stroke-width="2"/>`;
  return `<svg role="img" aria-label="${escapeHtml(gainText(line))}">${zero}<g class="${kind}">${bar}<circle cx="${x(mean)}" cy="50%" r="3.5" stroke="none"/></g></svg>`;
}
