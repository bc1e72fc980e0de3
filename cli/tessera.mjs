#!/usr/bin/env node
/** The bin. In the repository it runs the TypeScript beside it; the package holds what was compiled of that. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const main = new URL("./main.ts", import.meta.url);
const compiled = new URL("./dist/cli/main.js", import.meta.url);
const repository = existsSync(main);

// npm runs scripts in the package's folder; paths on the command line are relative to where it was called.
const { INIT_CWD, npm_lifecycle_script: script } = process.env;
if (
  INIT_CWD &&
  script?.includes("cli/tessera.mjs") &&
  process.cwd() === fileURLToPath(new URL("..", import.meta.url)).replace(/[\\/]$/, "")
)
  process.chdir(INIT_CWD);

if (repository) {
  process.setSourceMapsEnabled(true);
  await import("./typescript.mjs");
}
const { main: run } = await import((repository ? main : compiled).href);
// Dawn keeps Node alive, and may crash during a normal shutdown.
process.exit(await run(process.argv.slice(2)));
