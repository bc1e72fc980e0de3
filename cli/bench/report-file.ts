/** The benchmark's report as one HTML file that needs nothing else. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "vite";
import { pageJson, put } from "../../app/report.ts";
import type { NamedResult } from "../../bench/result-file.ts";
import { writeAtomic } from "../node/files.ts";
import { ownFilesOnly } from "../node/vite.ts";
import { EXTENSION, shipped } from "../place.ts";

/** Writes it; its URL. */
export async function writeBenchReport(path: string, results: readonly NamedResult[]): Promise<string> {
  const whole = resolve(path);
  await writeAtomic(whole, new TextEncoder().encode(await renderBenchReport(results)));
  return pathToFileURL(whole).href;
}

export async function renderBenchReport(results: readonly NamedResult[]): Promise<string> {
  const read = (name: string) => readFileSync(shipped(`app/bench-report/${name}`), "utf8");
  const parts = {
    style: `<style>${read("style.css")}</style>`,
    data: `<script type="application/json" id="data">${pageJson(results)}</script>`,
    // What could end the script element stands in strings and regular expressions only, where this means the same.
    script: `<script type="module">${(await script()).replaceAll(/<(?=\/script|!--)/gi, "\\x3c")}</script>`,
  };
  return Object.entries(parts).reduce((page, [name, text]) => put(page, `<!-- place: ${name} -->`, text), read("page.html"));
}

/** app/bench-report/page.ts with the plotting library, in one piece. */
async function script(): Promise<string> {
  const bundled = await build({
    ...ownFilesOnly,
    root: shipped("."),
    logLevel: "error",
    build: {
      write: false,
      target: "es2022",
      copyPublicDir: false,
      lib: { entry: shipped(`app/bench-report/page${EXTENSION}`), formats: ["es"] },
      rolldownOptions: { output: { codeSplitting: false } },
      minify: true,
    },
  });
  const [output] = Array.isArray(bundled) ? bundled : [bundled];
  const chunk = output && "output" in output ? output.output.find((file) => file.type === "chunk") : undefined;
  if (!chunk) throw new Error("report: expected a bundle of the report's script, got none");
  return chunk.code;
}
