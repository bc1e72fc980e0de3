/** `bench --page`: the page that measures in one's own browser, built into a folder or served from here. */
import { join } from "node:path";
import { defaultCacheDir } from "../../bench/cache-dir.ts";
import { print } from "../output.ts";
import { IN_REPOSITORY, shipped, VERSION } from "../place.ts";
import { commit, rivalsOf, say, type BenchOptions } from "./prepare.ts";

/** Needs no adapter on this machine: the browser that opens the page has one. */
export async function benchPage({ page: folder, port }: BenchOptions, against: string): Promise<void> {
  const { buildBenchPage, serveBenchPage } = await import("./page.ts");
  const names = await rivalsOf(against, "chromium");
  const into = typeof folder === "string" ? folder : IN_REPOSITORY ? shipped("build/bench-page") : join(defaultCacheDir(), "bench-page");
  await buildBenchPage(into, names, { version: VERSION, commit: await commit() });
  if (typeof folder === "string")
    return void print(
      `${folder}: the page and ${names.join(", ") || "no rivals"}; any web server can host it, with the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp its clock is finer\n`,
    );
  const { url } = await serveBenchPage(into, port);
  print(`${url}\n`);
  say("open it in any browser on this machine; Ctrl-C ends");
  await new Promise(() => undefined);
}
