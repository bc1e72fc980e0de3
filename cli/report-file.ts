/** The report of a training as one HTML file. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { ReportData } from "../jobs/report-data.ts";
import { renderReport } from "../app/report.ts";
import { writeAtomic } from "./node/files.ts";
import { IN_REPOSITORY, shipped, VERSION } from "./place.ts";

/** Writes it; its URL. */
export async function writeReport(path: string, data: ReportData): Promise<string> {
  const whole = resolve(path);
  await writeAtomic(whole, new TextEncoder().encode(reportPage(data)));
  return pathToFileURL(whole).href;
}

/** The report as HTML. */
export const reportPage = (data: ReportData): string => renderReport(readFileSync(shipped("app/report.html"), "utf8"), ...uplot(), data);

function uplot(): [string, string] {
  const folder = createRequire(import.meta.url)
    .resolve("uplot/package.json")
    .replace(/package\.json$/, "dist/");
  return [readFileSync(`${folder}uPlot.iife.min.js`, "utf8"), readFileSync(`${folder}uPlot.min.css`, "utf8")];
}

/** The running version: git's commit, or the package's version without git. */
export function commit(): string {
  if (!IN_REPOSITORY) return `v${VERSION}`;
  try {
    return execFileSync("git", ["rev-parse", "--short=12", "HEAD"], { cwd: shipped("."), stdio: ["ignore", "pipe", "ignore"] })
      .toString()
      .trim();
  } catch {
    return "unknown";
  }
}
