/**
 * Module hooks of Node: a TypeScript file of this repository loses its types when it is loaded. No tsconfig.json is looked for and no
 * compiled code is kept, so nothing of the working directory or of a shared folder can become part of the program.
 */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { transform } from "rolldown/utils";

const ROOT = new URL("..", import.meta.url).href;

/** @type {import("node:module").LoadHook} */
export async function load(url, context, nextLoad) {
  if (!url.startsWith(ROOT) || !/\.ts(\?|$)/.test(url)) return nextLoad(url, context);
  const path = fileURLToPath(url);
  const { code, map, errors } = await transform(path, await readFile(path, "utf8"), { target: "es2023", sourcemap: true, tsconfig: false });
  if (errors.length > 0) throw new SyntaxError(`${path}: ${errors[0].message}`);
  const inline = Buffer.from(JSON.stringify(map)).toString("base64");
  return { format: "module", shortCircuit: true, source: `${code}\n//# sourceMappingURL=data:application/json;base64,${inline}` };
}
