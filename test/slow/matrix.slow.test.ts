/**
 * The library in every place that apps are made for, from the packed tarball, each in a folder of its own outside of the repository: a model
 * is loaded, classifies a picture, learns two classes, is saved and loaded again. All of a browser's answers are the same to the bit.
 */
import { copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import sharp from "sharp";
import type { Browser } from "puppeteer-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchBrowser } from "../../cli/node/chromium.ts";
import { tinyFile } from "../tasks/pictures.ts";
import { install, pack, projectsFolder, run } from "./packed.ts";
import { serveFolder } from "./serve-folder.ts";

const MINUTE = 60_000;
const APPS = new URL("./matrix/", import.meta.url).pathname;
const folder = projectsFolder();
let tarball: string;
let browser: Browser;

type Answer = { label: string; index: number; probability: number }[];
interface Found {
  readonly classified: Answer;
  readonly learned: Answer;
  readonly worker?: Found;
  readonly error?: string;
}

beforeAll(async () => {
  tarball = await pack(".", folder);
  browser = await launchBrowser();
}, 30 * MINUTE);
afterAll(() => browser?.close());

/** A project with the library, these packages and these files of matrix/ (as "from" or "from:to"), and the model. */
async function project(name: string, packages: readonly string[], files: readonly string[]): Promise<string> {
  const at = await install(folder, name, tarball, ...packages);
  for (const [from, to = from] of ["answers.js", ...files].map((file) => file.split(":")))
    cpSync(join(APPS, from!), join(at, to!), { recursive: true });
  await fillPublic(at);
  return at;
}

/** The model and the picture, for whoever serves this folder. */
async function fillPublic(at: string): Promise<void> {
  mkdirSync(at, { recursive: true });
  writeFileSync(join(at, "tiny.safetensors"), tinyFile());
  const { picture } = (await import(/* @vite-ignore */ `${APPS}answers.js`)) as { picture: ImageData };
  const { data, width, height } = picture;
  await sharp(Buffer.from(data), { raw: { width, height, channels: 4 } })
    .png()
    .toFile(join(at, "photo.png"));
}

/** What the page at this address found. */
async function visit(url: string): Promise<Found> {
  const page = await browser.newPage();
  page.setDefaultTimeout(30 * MINUTE);
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  try {
    await page.goto(url, { timeout: 10 * MINUTE });
    await page.waitForFunction("globalThis.found", { timeout: 10 * MINUTE }).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${complaints.join("\n")}`);
    });
    return (await page.evaluate("found")) as Found;
  } finally {
    await page.close();
  }
}

async function visitFolder(at: string): Promise<Found> {
  const server = await serveFolder(at);
  try {
    return await visit(server.url);
  } finally {
    await server.close();
  }
}

const html = (at: string, body: string) =>
  writeFileSync(join(at, "index.html"), `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">${body}`);

/** The plain page's answers, to which all others are held. */
let plain: Found;

/** Says which version made it, and holds the answers to the plain page's. */
function same(row: string, found: Found): void {
  console.log(`${row}: ${found.error ?? `${found.classified[0]!.label}, ${found.learned[0]!.label}`}`);
  const { classified, learned, worker } = found;
  expect({ classified, learned }, JSON.stringify(found)).toEqual(plain);
  if (worker) expect(worker, "in the package's worker").toEqual(plain);
}

const version = (at: string, name: string): string =>
  `${name} ${(JSON.parse(readFileSync(join(at, "node_modules", name, "package.json"), "utf8")) as { version: string }).version}`;

test("a plain page with the one file", { timeout: 30 * MINUTE }, async () => {
  const at = await project("plain", [], ["page.js", "own-worker.js"]);
  copyFileSync(join(at, "node_modules/tessera-gpu/dist/tessera.js"), join(at, "tessera.js"));
  html(
    at,
    '<script type="importmap">{ "imports": { "tessera-gpu": "/tessera.js" } }</script><script type="module" src="/page.js"></script>',
  );
  plain = await visitFolder(at);
  expect(plain, JSON.stringify(plain)).toMatchObject({ classified: expect.any(Array), learned: [{ label: "light" }, { label: "dark" }] });
  same("the one file by an import map", plain);

  html(
    at,
    '<script type="module">const worker = new Worker("/own-worker.js", { type: "module" });\nglobalThis.found = new Promise((resolve) => { worker.onmessage = ({ data }) => resolve(data); });</script>',
  );
  same("the one file in a module worker", await visitFolder(at));
});

test("a plain page with an import map to every module, its worker too", { timeout: 30 * MINUTE }, async () => {
  const at = await project("import-map", [], ["page-and-worker.js:page.js"]);
  const imports = {
    "tessera-gpu": "/node_modules/tessera-gpu/dist/index.js",
    "tessera-gpu/worker": "/node_modules/tessera-gpu/dist/tasks/worker.js",
    ...Object.fromEntries(["zod", "zod/mini", "zod/locales"].map((name) => [name, `/node_modules/${name}/index.js`])),
  };
  html(at, `<script type="importmap">${JSON.stringify({ imports })}</script><script type="module" src="/page.js"></script>`);
  same("module by module", await visitFolder(at));
});

test("a plain page with everything from another site, its worker too", { timeout: 30 * MINUTE }, async () => {
  const at = await project("cdn", [], ["page-and-worker.js:page.js"]);
  const cdn = await serveFolder(join(at, "node_modules/tessera-gpu/dist"));
  const imports = { "tessera-gpu": `${cdn.url}tessera.js`, "tessera-gpu/worker": `${cdn.url}tasks/worker.js` };
  html(at, `<script type="importmap">${JSON.stringify({ imports })}</script><script type="module" src="/page.js"></script>`);
  same("from another site", await visitFolder(at));
  await cdn.close();
});

/** What esbuild and Rollup have to be given, since they do not follow `new Worker(new URL(…))`. */
const WORKER = "tessera-gpu/tasks/model-worker.js";

test("esbuild, its worker too", { timeout: 30 * MINUTE }, async () => {
  const at = await project("esbuild", ["esbuild@0.28"], ["page-and-worker.js:main.js"]);
  await run(
    at,
    "npx",
    "esbuild",
    "main.js",
    `model-worker=${WORKER}`,
    "--bundle",
    "--format=esm",
    "--splitting",
    "--minify",
    "--outdir=dist",
  );
  html(at, '<script type="module" src="/dist/main.js"></script>');
  same(version(at, "esbuild"), await visitFolder(at));
});

test("Rollup, its worker too", { timeout: 30 * MINUTE }, async () => {
  const at = await project("rollup", ["rollup@4", "@rollup/plugin-node-resolve@16"], ["page-and-worker.js:main.js", "rollup.config.js"]);
  await run(at, "npx", "rollup", "-c", "--silent");
  html(at, '<script type="module" src="/dist/main.js"></script>');
  same(version(at, "rollup"), await visitFolder(at));
});

test("webpack 5, its worker too", { timeout: 30 * MINUTE }, async () => {
  const at = await project("webpack", ["webpack@5", "webpack-cli"], ["page-and-worker.js:main.js", "webpack.config.js"]);
  await run(at, "npx", "webpack");
  await fillPublic(join(at, "dist"));
  html(join(at, "dist"), '<script src="/main.js"></script>');
  same(version(at, "webpack"), await visitFolder(join(at, "dist")));
});

test("Vite 8, its worker too, built and served for development", { timeout: 30 * MINUTE }, async () => {
  const at = await project("vite", ["vite@8"], ["page-and-worker.js:main.js", "vite.html:index.html"]);
  await run(at, "npx", "vite", "build");
  await fillPublic(join(at, "dist"));
  same(`${version(at, "vite")}, built`, await visitFolder(join(at, "dist")));
  await fillPublic(join(at, "public"));
  same(`${version(at, "vite")}, development`, await serving(at, ["vite", "--port", "0"], visit));
});

test("Next: development with StrictMode, static export", { timeout: 30 * MINUTE }, async () => {
  const at = await project("next", ["next@16", "react@19", "react-dom@19"], ["next/app:app"]);
  await fillPublic(join(at, "public"));
  const found = (await serving(at, ["next", "dev", "--port", "0"], visit)) as Found & { runs: number; last: Found };
  expect(found.runs).toBe(2); // StrictMode mounts twice
  same(`${version(at, "next")}, development`, found);
  same("the second mount", found.last);
  writeFileSync(join(at, "next.config.js"), 'export default { output: "export" };\n');
  await run(at, "npx", "next", "build");
  same(`${version(at, "next")}, exported`, await visitFolder(join(at, "out")));
});

/** `npx command` in the project until `use` is done with the address that it prints. */
async function serving<T>(at: string, command: readonly string[], use: (url: string) => Promise<T>): Promise<T> {
  const server = spawn(process.execPath, [join(at, "node_modules/.bin", command[0]!), ...command.slice(1)], {
    cwd: at,
    detached: true,
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0" },
  });
  let said = "";
  try {
    const url = await new Promise<string>((resolve, reject) => {
      const hear = (text: Buffer) => {
        said += text;
        const [address] = /http:\/\/localhost:\d+/.exec(said) ?? [];
        if (address) resolve(address);
      };
      server.stdout.on("data", hear);
      server.stderr.on("data", hear);
      server.once("exit", () => reject(new Error(`${command.join(" ")}: ended\n${said}`)));
    });
    return await use(url);
  } finally {
    process.kill(-server.pid!, "SIGTERM");
    await once(server, "exit");
  }
}

/** Another adapter rounds otherwise; the picture is not decoded here but given as pixels. */
function near(row: string, found: Found): void {
  console.log(`${row}: ${found.classified?.[0]?.label}, ${found.learned?.[0]?.label}`);
  expect(
    found.classified?.map(({ label }) => label),
    JSON.stringify(found),
  ).toEqual(plain.classified.map(({ label }) => label));
  for (const [i, { probability }] of found.classified.entries()) expect(probability).toBeCloseTo(plain.classified[i]!.probability, 5);
  expect(found.learned.map(({ label }) => label)).toEqual(plain.learned.map(({ label }) => label));
}

const lastLine = (text: string): Found => JSON.parse(text.trim().split("\n").at(-1)!) as Found;

test("Node, with the package webgpu", { timeout: 30 * MINUTE }, async () => {
  const at = await project("node", ["webgpu"], ["node.js", "runtime.js"]);
  near(`Node ${process.version}, ${version(at, "webgpu")}`, lastLine(await run(at, process.execPath, "node.js")));
});

test("Node without WebGPU says so", { timeout: 30 * MINUTE }, async () => {
  const at = await project("no-webgpu", [], ["runtime.js"]);
  expect(lastLine(await run(at, process.execPath, "runtime.js")).error).toMatch(
    /^AdapterError: initDevice: expected WebGPU \(navigator\.gpu\), got none/,
  );
});

test("Deno", { timeout: 30 * MINUTE }, async () => {
  const at = await project("deno", ["deno@2"], ["runtime.js"]);
  const found = lastLine(await run(at, "npx", "deno", "run", "-A", "--unstable-webgpu", "runtime.js"));
  near(version(at, "deno"), found);
});

test("Bun", { timeout: 30 * MINUTE }, async () => {
  const at = await project("bun", ["bun@1"], ["runtime.js", "node.js"]);
  expect(lastLine(await run(at, "npx", "bun", "runtime.js")).error).toMatch(/^AdapterError: /);
});

test.each([
  ["5.9", ["@webgpu/types"]],
  ["7", []],
])("TypeScript %s, strict, node16 and bundler, every declaration checked", { timeout: 30 * MINUTE }, async (typescript, types) => {
  const at = await project(`typescript-${typescript}`, [`typescript@${typescript}`], ["types.ts"]);
  for (const [module, moduleResolution] of [
    ["node16", "node16"],
    ["esnext", "bundler"],
  ]) {
    const compilerOptions = {
      strict: true,
      skipLibCheck: false,
      noEmit: true,
      target: "es2023",
      lib: ["es2023", "dom", "dom.iterable"],
      module,
      moduleResolution,
      types,
    };
    writeFileSync(join(at, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["types.ts"] }));
    await run(at, "npx", "tsc");
    console.log(`${version(at, "typescript")}, ${moduleResolution}: no error`);
  }
});
