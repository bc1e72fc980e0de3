#!/usr/bin/env node
/**
 * Builds what `npm pack` packs: `node build.mjs library` into dist/ (or a folder that is named), `node build.mjs cli` into cli/dist/.
 * A module stays a module: its types are taken off, and `.ts` becomes `.js` where it names another.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { decode, encode } from "@jridgewell/sourcemap-codec";
import { minifySync, transformSync } from "rolldown/utils";
import { build } from "vite";

const ROOT = fileURLToPath(new URL(".", import.meta.url));

/** Files of a folder of the repository, at any depth, by paths from the root. */
const filesOf = (folder, from = ROOT) =>
  readdirSync(join(from, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(from, join(entry.parentPath ?? entry.path, entry.name)).replaceAll("\\", "/"))
    .filter((path) => !/(^|\/)(node_modules|dist)\//.test(path));

/** Line by line: a position within a line costs a map five times the size, and is rarely asked for. */
const byLine = (map, source) =>
  JSON.stringify({ version: 3, sources: [source], names: [], mappings: encode(decode(map.mappings).map((line) => line.slice(0, 1))) });

/** What the library's package holds the TypeScript of, to read and for maps to lead to; with all of it, it would be over 2 MB. package.json's `files` says the same. */
const READABLE = /^(index\.ts|engine\/.*|kernels\/[^/]+)$/;

/** Modules whose JavaScript keeps its lines and names, with a map beside it. */
const STEPPED = /^(index\.ts|engine\/.*)$/;

/** A TypeScript module as JavaScript and a source map. */
function compile(path) {
  // What a worker is started from is named by URL, which is no import.
  const text = readFileSync(join(ROOT, path), "utf8").replace(/(new URL\("\.[^"]*)\.ts"/g, '$1.js"');
  const compiled = transformSync(path, text, {
    target: "es2023",
    sourcemap: true,
    tsconfig: false,
    typescript: { rewriteImportExtensions: true },
  });
  if (compiled.errors.length > 0) throw new Error(`${path}: ${compiled.errors[0].message}`);
  return compiled;
}

/** Without comments, which the source has; without `map` also without line breaks and long names. */
function shrink(path, { code, map }) {
  const small = map === undefined;
  const shrunk = minifySync(path, code, {
    compress: false,
    mangle: small,
    sourcemap: !small,
    inputMap: map,
    codegen: { removeWhitespace: small, legalComments: "none" },
  });
  return { ...shrunk, code: annotated(code, shrunk.code) };
}

/** Puts back the comments that tell bundlers which calls have no side effects. */
const annotated = (source, code) =>
  [...source.matchAll(/(\/\* @__\w+__ \*\/)\s*((?:export function |function )?[\w.]+\()/g)].reduce(
    (text, [, note, call]) => text.replace(call, `${note} ${call}`),
    code,
  );

/** Writes a module to `target`, with the map beside it where there is one, which leads to `source`. */
function write(target, { code, map }, source) {
  mkdirSync(dirname(target), { recursive: true });
  if (!map) return writeFileSync(target, code);
  writeFileSync(target, `${code.trimEnd()}\n//# sourceMappingURL=${basename(target)}.map\n`);
  writeFileSync(`${target}.map`, byLine(map, relative(dirname(target), source)));
}

/** dist/: declarations by tsc, a module for each, and all of index.ts in one file that names no other package. */
async function library(to) {
  const types = `${to}-types`;
  rmSync(to, { recursive: true, force: true });
  execFileSync(
    process.execPath,
    [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", join(ROOT, "tsconfig.build.json"), "--outDir", types],
    { stdio: "inherit" },
  );
  for (const declaration of filesOf(".", types).filter((path) => path.endsWith(".d.ts"))) {
    const path = declaration.replace(/\.d\.ts$/, ".ts");
    const readable = READABLE.test(path);
    // Cases that describe no operation are there for `doctor`, which is the command line's.
    if (path.startsWith("checks/cases/") && !readFileSync(join(types, declaration), "utf8").includes("const ops")) continue;
    const text = readFileSync(join(types, declaration), "utf8").replace(/\n\/\/# sourceMappingURL=.*/, "");
    const map = JSON.parse(readFileSync(join(types, `${declaration}.map`), "utf8"));
    write(join(to, path.replace(/\.ts$/, ".d.ts")), { code: text, map: readable ? map : undefined }, join(ROOT, path));
    const { code, map: own } = compile(path);
    write(join(to, path.replace(/\.ts$/, ".js")), shrink(path, { code, map: STEPPED.test(path) ? own : undefined }), join(ROOT, path));
  }
  rmSync(types, { recursive: true, force: true });
  // No import map reaches a worker: its module takes the one file, which names no package.
  const worker = join(to, "tasks/model-worker.js");
  writeFileSync(worker, readFileSync(worker, "utf8").replace('"./load-model.js"', '"../tessera.js"'));
  await bundle(
    "tasks/messages.ts",
    join(to, "tasks"),
    "messages.js",
    "// Comlink: Copyright 2019 Google LLC, SPDX-License-Identifier: Apache-2.0",
  );
  // Beside the three dependencies there is no fourth: this package is inside of the one module that uses it.
  await bundle("models/onnx/wire.ts", join(to, "models/onnx"), "wire.js", PROTOBUF);
  await bundle("index.ts", to, "tessera.js", PROTOBUF);
}

/** The notices that @bufbuild/protobuf's licences ask for, from its files. */
const PROTOBUF = ["varint", "binary-encoding"]
  .map((name) => /^(?:\/\/.*\n)+/.exec(readFileSync(join(ROOT, `node_modules/@bufbuild/protobuf/dist/esm/wire/${name}.js`), "utf8"))[0])
  .join("//\n");

/** A module with all that it imports, other packages too, in one file without line breaks that begins with `banner`. */
async function bundle(path, to, name, banner) {
  await build({
    configFile: false,
    envDir: false,
    root: ROOT,
    logLevel: "error",
    build: {
      outDir: to,
      emptyOutDir: false,
      copyPublicDir: false,
      target: "es2023",
      minify: true,
      lib: { entry: join(ROOT, path), formats: ["es"], fileName: () => name },
      rolldownOptions: { output: { codeSplitting: false } },
    },
  });
  const file = join(to, name);
  const { code } = minifySync(name, readFileSync(file, "utf8"), { compress: false, mangle: false, codegen: { legalComments: "none" } });
  writeFileSync(file, `${banner}\n${code}`);
}

/** cli/dist/: the folders of the repository that the command line is made of, laid out as there, and the files that they read. */
function commandLine() {
  const to = join(ROOT, "cli/dist");
  rmSync(to, { recursive: true, force: true });
  const folders = ["engine", "kernels", "checks", "models", "train", "tasks", "bench", "jobs", "app", "cli"].filter((name) =>
    existsSync(join(ROOT, name)),
  );
  // The site is built in the repository only.
  const left =
    /^(bench\/(gpu|results)\/|app\/(data\/cifar10|site)\/|cli\/docs\/|cli\/(site\.ts|package\.json|LICENSE|tessera\.mjs|typescript.*|node\/image-worker\.mjs)$)|\.d\.ts$/;
  for (const path of folders.flatMap((folder) => filesOf(folder)).filter((path) => !left.test(path))) {
    if (path.endsWith(".ts")) write(join(to, path.replace(/\.ts$/, ".js")), { code: compile(path).code });
    else if (path.endsWith(".html"))
      write(join(to, path), { code: readFileSync(join(ROOT, path), "utf8").replace(/(src="\.\/[^"]*)\.ts"/g, '$1.js"') });
    else {
      mkdirSync(dirname(join(to, path)), { recursive: true });
      copyFileSync(join(ROOT, path), join(to, path));
    }
  }
}

const [what, folder = "dist"] = process.argv.slice(2);
if (what === "library") await library(resolve(folder));
else if (what === "cli") commandLine();
else throw new Error(`build: expected library or cli, got ${what ?? "nothing"}`);
