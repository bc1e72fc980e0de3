/** The results page's style sheet; light and dark, on screen and on paper. */
export const STYLE = `
:root { color-scheme: light dark; --page: light-dark(#fff, #15171a); --text: light-dark(#1c1f23, #e4e7eb); --soft: light-dark(#555c66, #a2abb7);
  --line: light-dark(#d9dde2, #343a42); --fill: light-dark(#f4f5f7, #1e2226); --better: light-dark(#0067a8, #5eb1ef); --worse: light-dark(#c2410c, #f59e5b); --none: light-dark(#6b7480, #8b95a3);
  --c0: light-dark(#6b7480, #98a2af); --c1: light-dark(#0067a8, #5eb1ef); --c2: light-dark(#c2410c, #f59e5b); --c3: light-dark(#5b21b6, #b794f4); --c4: light-dark(#047857, #4cc79a); --c5: light-dark(#9d174d, #f28bb8); }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1rem 4rem; max-width: 66rem; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--text); background: var(--page); }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; text-wrap: balance; }
h2 { font-size: 1.25rem; margin: 3.5rem 0 .5rem; } h3 { font-size: 1rem; margin: 2rem 0 .25rem; }
p, li { max-width: 46rem; } ul { padding-left: 1.2rem; margin: 0; } a { color: var(--better); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line); text-align: right; font-weight: 400; white-space: nowrap; vertical-align: top; }
th:first-child { text-align: left; white-space: normal; min-width: 11rem; }
thead th { color: var(--soft); font-size: .8125rem; vertical-align: bottom; white-space: normal; line-height: 1.3; }
.claims th, .claims td { text-align: left; white-space: normal; } .claims th:first-child { width: 34%; } .claims p { margin: .25rem 0; }
.claims td:nth-child(2) { white-space: nowrap; }
.mark { min-width: 9rem; width: 22%; padding-right: 1.5rem; text-align: center; }
svg.gain { display: block; width: 100%; height: 1.5rem; overflow: visible; }
.zero { stroke: var(--line); } .better { color: var(--better); } .worse { color: var(--worse); } .even { color: var(--none); }
svg.gain g { stroke: currentColor; fill: currentColor; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem 1.5rem; margin: 1rem 0; }
figure { margin: 0; } figcaption { font-size: .875rem; color: var(--soft); }
svg.chart { display: block; width: 100%; height: auto; font-size: 12px; }
svg.chart polyline { fill: none; stroke-width: 2; } svg.chart g circle { stroke: none; }
svg.chart g { stroke: currentColor; fill: currentColor; } svg.chart text { stroke: none; } .grid { stroke: var(--line); } .axis { fill: var(--soft); }
.line-0 { color: var(--c0); } .line-1 { color: var(--c1); } .line-2 { color: var(--c2); } .line-3 { color: var(--c3); } .line-4 { color: var(--c4); } .line-5 { color: var(--c5); }
summary { cursor: pointer; color: var(--soft); margin-top: 2rem; } pre { background: var(--fill); padding: .75rem 1rem; border-radius: 4px; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8125rem; }
.note { color: var(--soft); font-size: .875rem; }
@media print { body { max-width: none; padding: 0; } :root { color-scheme: light; } details { display: none; } }
@media (max-width: 40rem) { .mark { min-width: 6rem; } .wide { display: none; } .claims th:first-child { width: auto; } }
`;
