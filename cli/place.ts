/** Where this program's own files are: the repository with its TypeScript, or the installed package with compiled JavaScript. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of jobs/, app/, cli/ … in both. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Extension of the modules under ROOT. */
export const EXTENSION = import.meta.url.endsWith(".ts") ? ".ts" : ".js";

export const IN_REPOSITORY = EXTENSION === ".ts";

/** The script that Node runs for the command line. */
export const BIN = fileURLToPath(new URL(IN_REPOSITORY ? "./tessera.mjs" : "../../tessera.mjs", import.meta.url));

/** The absolute path of a file that ships; `path` starts from ROOT. */
export const shipped = (path: string): string => join(ROOT, path);

const manifest = JSON.parse(readFileSync(shipped(IN_REPOSITORY ? "package.json" : "../package.json"), "utf8")) as { version: string };
export const VERSION = manifest.version;
