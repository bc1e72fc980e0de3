/** Both packages as a stranger gets them: packed, installed into an empty folder outside of the repository, and used. Needs the npm registry. */
import { execFile } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, expect, test } from "vitest";
import { install, pack, projectsFolder, run } from "./packed.ts";

const MINUTE = 60_000;
const folder = projectsFolder();

/** The manifests of all that a project has installed. */
const manifests = (project: string): { name: string; scripts?: Record<string, string>; gypfile?: boolean }[] =>
  readdirSync(join(project, "node_modules"), { recursive: true, encoding: "utf8" })
    .filter((path) => /(^|node_modules\/)(@[^/]+\/)?[^/@.][^/]*\/package\.json$/.test(path))
    .map((path) => JSON.parse(readFileSync(join(project, "node_modules", path), "utf8")) as { name: string });

const bytesIn = (path: string): number =>
  readdirSync(path, { recursive: true, withFileTypes: true }).reduce(
    (n, e) => n + (e.isFile() ? statSync(join(e.parentPath, e.name)).size : 0),
    0,
  );

let library: string;
let commandLine: string;
beforeAll(async () => {
  library = await install(folder, "library", await pack(".", folder));
  commandLine = await install(folder, "command-line", await pack("cli", folder));
}, 15 * MINUTE);

test("the library: under 2 MB, three dependencies at most, nothing native, no install script, no picture", () => {
  const own = join(library, "node_modules/tessera-gpu");
  const bytes = bytesIn(own);
  console.log(
    `tessera-gpu: ${(bytes / 1e6).toFixed(2)} MB unpacked; with its dependencies ${(bytesIn(join(library, "node_modules")) / 1e6).toFixed(1)} MB`,
  );
  expect(bytes).toBeLessThan(2e6);
  const { dependencies } = JSON.parse(readFileSync(join(own, "package.json"), "utf8")) as { dependencies: Record<string, string> };
  expect(Object.keys(dependencies).length).toBeLessThanOrEqual(3);
  const scripts = manifests(library).filter(
    ({ scripts = {}, gypfile }) => gypfile || ["preinstall", "install", "postinstall"].some((s) => s in scripts),
  );
  expect(scripts.map(({ name }) => name)).toEqual([]);
  const files = readdirSync(join(library, "node_modules"), { recursive: true, encoding: "utf8" });
  expect(files.filter((file) => /\.(node|bin)$/.test(file))).toEqual([]);
});

test("the library: every module has declarations and the entries load; the one file names no package", async () => {
  const dist = join(library, "node_modules/tessera-gpu/dist");
  const modules = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".js") && file !== "tessera.js");
  expect(modules.filter((file) => !existsSync(join(dist, file.replace(/\.js$/, ".d.ts"))))).toEqual([]);
  const maps = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".map"));
  const lost = maps.filter((file) => {
    const { sources } = JSON.parse(readFileSync(join(dist, file), "utf8")) as { sources: string[] };
    return !sources.every((source) => existsSync(join(dist, file, "..", source)));
  });
  expect(lost).toEqual([]);
  const one = readFileSync(join(dist, "tessera.js"), "utf8");
  expect([...one.matchAll(/(?:^|[;}\n])(?:import|export)[^;"'`()]*? ?from ?["']([^"']+)["']/g)].map((m) => m[1])).toEqual([]);
  writeFileSync(
    join(library, "names.mjs"),
    `import * as all from "tessera-gpu"; import * as one from "tessera-gpu/tessera.js"; import { deit } from "tessera-gpu/models/deit";
     console.log(JSON.stringify({ same: Object.keys(all).join() === Object.keys(one).join(), deit: typeof deit, initDevice: typeof all.initDevice }));`,
  );
  expect(JSON.parse(await run(library, process.execPath, "names.mjs"))).toEqual({ same: true, deit: "function", initDevice: "function" });
});

test("the command line: a kernel's self-tests, in Node and in Chromium", async () => {
  const tessera = (...args: string[]) => run(commandLine, process.execPath, "node_modules/tessera-gpu-cli/tessera.mjs", ...args);
  expect(await tessera("doctor", "--only", "layerNorm")).toMatch(/^\d+ passed, 0 failed/m);
  expect(await tessera("op", "layerNorm", "--check")).toMatch(/^layerNorm: (\d+) of \1 checks passed/m);
  expect(await tessera("op", "relu", "--check", "--where", "chromium")).toMatch(/^relu: (\d+) of \1 checks passed/m);
});

test("the command line has no picture of CIFAR-10, and makes the demo's of the full set", async () => {
  const names = readdirSync(join(commandLine, "node_modules/tessera-gpu-cli"), { recursive: true, encoding: "utf8" });
  expect(names.filter((name) => name.endsWith(".bin"))).toEqual([]);
  const out = join(folder, "demo");
  expect(
    await run(commandLine, process.execPath, "node_modules/tessera-gpu-cli/tessera.mjs", "demo", "--budget", "10", "--out", out),
  ).toContain("distilled");
  expect(existsSync(join(out, "report.html"))).toBe(true);
});

test.runIf(process.getuid?.() === 0)("installed by root, another user without a home uses it", async () => {
  chmodSync(folder, 0o755); // a temporary folder is its owner's
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(commandLine, "node_modules/tessera-gpu-cli/tessera.mjs"), "op", "relu", "--print-wgsl"],
    { cwd: "/", uid: 65534, gid: 65534, env: { PATH: process.env["PATH"], HOME: "/nonexistent" } },
  );
  expect(stdout).toContain("@group(0) @binding(0)");
});
