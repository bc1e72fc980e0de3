/** Rivals' libraries made loadable where a benchmark runs. Node only; the page of a built site has them bundled. */
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { build } from "vite";
import { nodeGPU } from "../engine/node.ts";

/** Each is a file of this folder whose default export starts a contender. */
export type RivalName = "tfjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const CACHE = "node_modules/.cache/tessera";

/**
 * Bundles bench/NAME.ts with its library into one module, and returns where a benchmark in Node or in a served page can
 * import it from. Libraries written for bundlers do not load in Node as they are, and in a page they are thousands of files.
 */
export async function bundleRival(name: RivalName, where: "node" | "chromium"): Promise<string> {
  const node = where === "node";
  const bundled = await build({
    configFile: false, root, logLevel: "error",
    ssr: { noExternal: true, target: "node" },
    build: {
      write: false, minify: false, ssr: node, target: "esnext", copyPublicDir: false,
      ...(node ? {} : { lib: { entry: join(root, `bench/${name}.ts`), formats: ["es"] } }),
      rolldownOptions: { input: join(root, `bench/${name}.ts`), output: { format: "es", codeSplitting: false } },
    },
  });
  const [output] = Array.isArray(bundled) ? bundled : [bundled];
  const chunk = output && "output" in output ? output.output.find((file) => file.type === "chunk") : undefined;
  if (!chunk) throw new Error(`bench: expected a bundle of ${name}, got none`);
  const file = `${CACHE}/${name}-${where}.mjs`;
  await mkdir(join(root, CACHE), { recursive: true });
  const partial = join(root, `${file}.${process.pid}`);
  await writeFile(partial, chunk.code);
  await rename(partial, join(root, file));
  return node ? new URL(`../${file}`, import.meta.url).href : `/${file}`;
}

/** Lets a library written for pages find WebGPU in Node. It shares our Dawn, and with it the adapter, but has a device of its own. */
export function provideNavigator(): void {
  // Asked for late: the driver is chosen when our own device opens.
  const navigator = { userAgent: `Node.js/${process.versions.node}`, hardwareConcurrency: 1, get gpu() { return nodeGPU(); } };
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true, writable: true });
}
