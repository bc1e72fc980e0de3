/** README's "Add a kernel" followed to the letter in a copy of the repository: its files written, its commands run, nothing else touched. */
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { workedExample } from "../../app/site/lab/worked-example.ts";
import { draftFiles } from "../../jobs/lab/draft-file.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);
const FOLDERS = ["engine", "kernels", "checks", "models", "train", "tasks", "bench", "jobs", "app", "cli", ".cache"];

let copy: string;
const tessera = async (...args: string[]): Promise<string> =>
  (await run(process.execPath, ["cli/tessera.mjs", ...args], { cwd: copy })).stdout;

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), "tessera-kernel-"));
  for (const name of [...FOLDERS, "index.ts", "package.json", "tsconfig.json", "biome.json"])
    await cp(join(ROOT, name), join(copy, name), {
      recursive: true,
      filter: (path) => !/(^|\/)(node_modules|dist)(\/|$)/.test(path.slice(ROOT.length)),
    });
  await symlink(join(ROOT, "node_modules"), join(copy, "node_modules"), "dir");
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const guide = readme.slice(readme.indexOf("## Add a kernel"));
  for (const [, path, code] of guide.matchAll(/`([\w/-]+\.ts)`[^`\n]*\n```ts\n([^]*?)```/g)) await writeFile(join(copy, path!), code!);
  // The elementwise sample is `silu` as it stands; under another name it is a new operation.
  const [row, check] = /```ts\n(export const silu = .*)\n(silu: .*)\n```/
    .exec(guide)!
    .slice(1)
    .map((line) => line.replaceAll("silu", "swish"));
  const edit = async (path: string, ...changes: [RegExp, string][]) => {
    const text = await readFile(join(copy, path), "utf8");
    await writeFile(
      join(copy, path),
      changes.reduce((all, [from, to]) => all.replace(from, () => to), text),
    );
  };
  await edit("kernels/elementwise.ts", [/(?=\nexport const sigmoid)/, `\n${row}\n`]);
  await edit("checks/cases/elementwise.ts", [/silu \}/, "silu, swish }"], [/(?=\n {2}relu: \{ op)/, `\n  ${check}`]);
});

afterAll(() => rm(copy, { recursive: true, force: true }));

test("the lab's worked example, as files: formatted, type-checks, and is found and passed in place of the repository's own", async () => {
  for (const { path, text } of draftFiles(workedExample)) await writeFile(join(copy, path), text);
  await run(join(ROOT, "node_modules/.bin/biome"), ["check", "kernels/rms-norm.ts", "checks/cases/rms-norm.ts"], { cwd: copy });
  await run(join(ROOT, "node_modules/.bin/tsc"), ["--noEmit"], { cwd: copy });
  expect(await tessera("op", "--list")).toMatch(/^rmsNorm: x \[\.\.,D\], weight \[D\] -> y \[\.\.,D\]/m);
  expect(await tessera("op", "rmsNorm", "--check")).toContain("rmsNorm: 3 of 3 checks passed");
  expect(await tessera("doctor", "--only", "rmsNorm:")).toContain("3 passed, 0 failed");
});

describe("README's guide", () => {
  test("type-checks", async () => {
    await run(join(ROOT, "node_modules/.bin/tsc"), ["--noEmit"], { cwd: copy });
  });

  for (const [name, cases] of [
    ["norm", 2],
    ["swish", 3],
  ] as const)
    test(`${name}: op --list, op --check, --print-wgsl, doctor and tune find it`, async () => {
      expect(await tessera("op", "--list")).toMatch(new RegExp(`^${name}: x `, "m"));
      expect(await tessera("op", name, "--check")).toContain(`${name}: ${cases} of ${cases} checks passed`);
      expect(await tessera("op", name, "--print-wgsl")).toContain(`// backward: ${name}.backward`);
      expect(await tessera("doctor", "--only", `${name}:`)).toContain(`${cases} passed, 0 failed`);
      expect(await tessera("tune", "--op", name, "--shape", "64x64", "--dry-run")).toMatch(/1 shapes/);
    });
});
