/** The packed library as a page has it: built by Vite from the tarball in a project of its own, and served. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "vite";
import { install, pack } from "./packed.ts";

/**
 * Builds the page's module (JavaScript that imports tessera-gpu) in a project in `folder`. Returns the folder to serve; what is written there
 * besides is served too.
 */
export async function builtApp(folder: string, main: string): Promise<string> {
  const project = await install(folder, "app", await pack(".", folder));
  writeFileSync(join(project, "main.js"), main);
  writeFileSync(
    join(project, "index.html"),
    '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module" src="/main.js"></script>',
  );
  const served = join(project, "dist");
  await build({ configFile: false, root: project, logLevel: "error", worker: { format: "es" }, build: { outDir: served, minify: false } });
  mkdirSync(served, { recursive: true });
  return served;
}
