/** Rivals' libraries: installed when first needed, and made loadable where a benchmark runs. Node only. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { join } from "node:path";
import { promisify } from "node:util";
import { build, type Plugin } from "vite";
import { nodeGPU } from "../tasks/node.ts";
import { defaultCacheDir } from "./cache-dir.ts";

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

/** Where their libraries are: in the repository beside their modules; an installed package's folder is not ours to write to. */
export const HOME = import.meta.url.endsWith(".ts") ? FOLDER : join(defaultCacheDir(), "rivals");

/** A file or folder of HOME for whoever loads it: in a page Vite serves what is outside of its root below /@fs/. */
const addressOf = (path: string, where: Where): string =>
  where === "node" ? pathToFileURL(join(HOME, path)).href : `/@fs/${join(HOME, path).replaceAll("\\", "/").replace(/^\//, "")}`;

/** Where the rivals' own files are: in Node those of HOME, in a page the libraries that are installed there. */
export const rivalsBase = (where: Where): string => addressOf(where === "node" ? "./" : "node_modules/", where);

/**
 * Installs the libraries of bench/rivals/package.json as its lock file has them, unless they are. They are large and nothing
 * but the benchmark needs them, so they are no dependencies of the project. Scripts of theirs, which would fetch CUDA, do not run.
 */
export async function installRivals(say: (message: string) => void): Promise<void> {
  const lock = await readFile(join(FOLDER, "package-lock.json"));
  const stamp = join(HOME, "node_modules/.installed");
  if (existsSync(stamp) && (await readFile(stamp)).equals(lock)) return;
  say(`installing the rivals' libraries into ${HOME} (once, some 500 MB)`);
  await mkdir(HOME, { recursive: true });
  if (HOME !== FOLDER)
    for (const name of ["package.json", "package-lock.json", "torch_bench.py"]) await copyFile(join(FOLDER, name), join(HOME, name));
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  try {
    await promisify(execFile)(npm, ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: HOME,
      shell: process.platform === "win32",
    });
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    throw new Error(
      `bench: expected "npm ci" in ${HOME} to install the rivals, got ${
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
  const file = `node_modules/.bundles/${name}-${where}.mjs`;
  await mkdir(join(HOME, "node_modules/.bundles"), { recursive: true });
  const partial = join(HOME, `${file}.${process.pid}`);
  await writeFile(partial, await moduleOf(name, where));
  await rename(partial, join(HOME, file));
  return addressOf(file, where);
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

/** Finds the libraries that the rivals' modules name in HOME. */
const librariesOfHome: Plugin = {
  name: "rivals",
  enforce: "pre",
  resolveId(source, importer) {
    if (!importer?.startsWith(FOLDER) || importer.includes("node_modules") || !/^[@\w]/.test(source)) return null;
    return this.resolve(source, join(HOME, "package.json"), { skipSelf: true });
  },
};

/** A module of this repository with all that it imports, as one. */
export async function bundleModule(path: string, where: Where): Promise<string> {
  const node = where === "node",
    input = join(root, path);
  const bundled = await build({
    configFile: false,
    root,
    logLevel: "error",
    plugins: [librariesOfHome],
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
  const from = join(HOME, "node_modules", loaded.folder),
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
