/** Rivals' libraries: installed when first needed, and made loadable where a benchmark runs. Node only. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { join } from "node:path";
import { promisify } from "node:util";
import { build } from "vite";
import { nodeGPU } from "../tasks/node.ts";

type Where = "node" | "chromium";

/** Modules of bench/rivals by the name that results have them under, where there is one. */
const MODULES = {
  tfjs: { node: "tfjs-webgpu", chromium: "tfjs-webgpu" },
  "tfjs-webgl": { node: "tfjs-webgl", chromium: "tfjs-webgl" },
  "tfjs-wasm": { node: "tfjs-wasm", chromium: "tfjs-wasm" },
  ort: { node: "ort-node", chromium: "ort-webgpu" },
  "ort-wasm": { node: "ort-wasm", chromium: "ort-wasm" },
  "ort-cpu": { node: "ort-cpu", chromium: null },
  jax: { node: "jax", chromium: "jax" },
  torch: { node: "torch", chromium: null },
} as const satisfies Record<string, Record<Where, string | null>>;

export type RivalName = keyof typeof MODULES;
export const rivalNames = Object.keys(MODULES) as readonly RivalName[];

/** What `--against all` means there: whatever could run. */
export const rivalsIn = (where: Where): RivalName[] =>
  rivalNames.filter((name) =>
    where === "node" ? !["tfjs-webgl", "tfjs-wasm", "ort-wasm", "jax"].includes(name) : MODULES[name].chromium !== null,
  );

const root = fileURLToPath(new URL("..", import.meta.url));
const FOLDER = join(root, "bench/rivals");
const CACHE = "node_modules/.cache/tessera";

/** Where the rivals' own files are: in Node bench/rivals, in a page the libraries that they have installed. */
export const rivalsBase = (where: Where): string => (where === "node" ? `${pathToFileURL(FOLDER).href}/` : "/bench/rivals/node_modules/");

/**
 * Installs the libraries of bench/rivals/package.json as its lock file has them, unless they are. They are large and nothing
 * but the benchmark needs them, so they are no dependencies of the project. Scripts of theirs, which would fetch CUDA, do not run.
 */
export async function installRivals(say: (message: string) => void): Promise<void> {
  const lock = await readFile(join(FOLDER, "package-lock.json"));
  const stamp = join(FOLDER, "node_modules/.installed");
  if (existsSync(stamp) && (await readFile(stamp)).equals(lock)) return;
  say("installing the rivals' libraries into bench/rivals/node_modules (once, some 400 MB)");
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  try {
    await promisify(execFile)(npm, ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: FOLDER,
      shell: process.platform === "win32",
    });
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    throw new Error(
      `bench: expected "npm ci" in bench/rivals to install the rivals, got ${
        stderr
          ?.trim()
          .split("\n")
          .filter((line) => !/warn/.test(line))[0] ?? String(error)
      } (--against none goes without)`,
    );
  }
  await writeFile(stamp, lock);
}

/** Bundles a rival's module as `moduleOf` does, and returns where a benchmark in Node or in a served page can import it from. */
export async function bundleRival(name: RivalName, where: Where): Promise<string> {
  const file = `${CACHE}/${name}-${where}.mjs`;
  await mkdir(join(root, CACHE), { recursive: true });
  const partial = join(root, `${file}.${process.pid}`);
  await writeFile(partial, await moduleOf(name, where));
  await rename(partial, join(root, file));
  return where === "node" ? new URL(`../${file}`, import.meta.url).href : `/${file}`;
}

/**
 * A rival's module and its library in one piece. Libraries written for bundlers do not load in Node as they are, and in a page they are
 * thousands of files.
 */
export async function moduleOf(name: RivalName, where: Where): Promise<string> {
  const module = MODULES[name][where];
  if (module === null) throw new Error(`bench: expected a rival that runs in ${where === "node" ? "Node" : "a page"}, got ${name}`);
  return bundleModule(`bench/rivals/${module}${import.meta.url.slice(-3)}`, where);
}

/** A module of this repository with all that it imports, as one. */
export async function bundleModule(path: string, where: Where): Promise<string> {
  const node = where === "node",
    input = join(root, path);
  const bundled = await build({
    configFile: false,
    root,
    logLevel: "error",
    ssr: { noExternal: true, target: "node" },
    build: {
      write: false,
      minify: false,
      ssr: node,
      target: "esnext",
      copyPublicDir: false,
      ...(node ? {} : { lib: { entry: input, formats: ["es"] } }),
      rolldownOptions: { input, output: { format: "es", codeSplitting: false } },
    },
  });
  const [output] = Array.isArray(bundled) ? bundled : [bundled];
  const chunk = output && "output" in output ? output.output.find((file) => file.type === "chunk") : undefined;
  if (!chunk) throw new Error(`bench: expected a bundle of ${path}, got none`);
  return chunk.code;
}

/** Files that rivals load by themselves in a page, from the folder of libraries. */
const LOADED: Partial<Record<RivalName, { readonly folder: string; readonly files: RegExp }>> = {
  ort: { folder: "onnxruntime-web/dist", files: /^ort(\.webgpu\.min\.mjs|-wasm-simd-threaded\.asyncify\.(mjs|wasm))$/ },
  "ort-wasm": { folder: "onnxruntime-web/dist", files: /^ort(\.wasm\.min\.mjs|-wasm-simd-threaded\.(mjs|wasm))$/ },
  "tfjs-wasm": { folder: "@tensorflow/tfjs-backend-wasm/dist", files: /^tfjs-backend-wasm.*\.wasm$/ },
};

/** Copies what a rival loads by itself in a page to `base`; how many bytes that is. */
export async function copyLoaded(name: RivalName, base: string): Promise<number> {
  const loaded = LOADED[name];
  if (!loaded) return 0;
  const from = join(FOLDER, "node_modules", loaded.folder),
    to = join(base, loaded.folder);
  await mkdir(to, { recursive: true });
  let bytes = 0;
  for (const file of (await readdir(from)).filter((f) => loaded.files.test(f))) {
    await copyFile(join(from, file), join(to, file));
    bytes += (await stat(join(to, file))).size;
  }
  return bytes;
}

/** Lets a library written for pages find WebGPU in Node. It shares our Dawn, and with it the adapter, but has a device of its own. */
export function provideNavigator(): void {
  // Asked for late: the driver is chosen when our own device opens.
  const navigator = {
    userAgent: `Node.js/${process.versions.node}`,
    hardwareConcurrency: 1,
    get gpu() {
      return nodeGPU();
    },
  };
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true, writable: true });
}
