/** The packages as a stranger gets them: packed, and installed into folders outside of the repository. Needs the npm registry. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll } from "vitest";

/** A folder for projects, gone after the tests of the file. */
export function projectsFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "tessera-packages-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What the command prints. Fails with all that it said where it fails. */
export async function run(cwd: string, command: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { cwd, maxBuffer: 1 << 26 }).catch((error: Error & { stdout: string }) => {
    throw new Error(`${error.message}\n${error.stdout}`);
  });
  return stdout;
}

/** Packs the package in `from` into `folder`; the path of the tarball. TESSERA_TARBALL: the library's, packed before. */
export async function pack(from: string, folder: string): Promise<string> {
  const given = process.env["TESSERA_TARBALL"];
  if (given && from === ".") return given;
  const [packed] = JSON.parse(await run(from, "npm", "pack", "--json", "--pack-destination", folder)) as { filename: string }[];
  return join(folder, packed!.filename);
}

/** An empty project of that name in `folder` with these packages; its folder. */
export async function install(folder: string, name: string, ...packages: string[]): Promise<string> {
  const project = join(folder, name);
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
  await run(project, "npm", "install", "--no-audit", "--no-fund", "--loglevel=error", ...packages);
  return project;
}
