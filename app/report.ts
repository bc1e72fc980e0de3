/** The report of a distillation run as one HTML page that needs nothing else: no network, no server. */
import type { ReportData } from "../jobs/report-data.ts";

/** Placeholders in app/report.html for uPlot and the data. */
const UPLOT_PLACE = "<!-- place: uPlot -->";
const DATA_PLACE = "<!-- place: data -->";

/** `template` is app/report.html; `uplotJs` and `uplotCss` are uPlot's minified script for a script element, and its style sheet. */
export function renderReport(template: string, uplotJs: string, uplotCss: string, data: ReportData): string {
  if (/<\/script|<!--/i.test(uplotJs)) throw new Error("report: expected a script that can stand in a page, got one with a tag in it");
  if (/<\/style/i.test(uplotCss)) throw new Error("report: expected a style sheet that can stand in a page, got one with a tag in it");
  const page = put(template, UPLOT_PLACE, `<style>${uplotCss}</style>\n<script>${uplotJs}</script>`);
  return put(page, DATA_PLACE, `<script type="application/json" id="data">${pageJson(data)}</script>`);
}

/** JSON that is safe inside a script element: `<`, and the two line ends that JSON allows in strings, are escaped. */
export function pageJson(value: unknown): string {
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Replaces the one occurrence of `place` in `page` by `text`. */
export function put(page: string, place: string, text: string): string {
  const parts = page.split(place);
  if (parts.length !== 2) throw new Error(`report: expected one ${place} in the template, got ${parts.length - 1}`);
  return parts.join(text);
}
