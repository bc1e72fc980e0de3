/** The guides' commands, run in their order as a reader would paste them, in a folder of its own. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const GUIDES = join(ROOT, "app/site/guides");

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tessera-guides-"));
  for (const name of ["app", "test"]) symlinkSync(join(ROOT, name), join(folder, name), "dir"); // a clone's own files, named by the commands
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each(readdirSync(GUIDES))("%s", (file) => {
  const blocks = [...readFileSync(join(GUIDES, file), "utf8").matchAll(/```sh\n([^]*?)```/g)].map(([, code]) => code!);
  const commands = blocks.flatMap((code) => code.trim().split("\n"));
  test.runIf(commands.length > 0)("every command ends well", async () => {
    for (const command of commands) {
      const shell = command.replace(/^tessera /, `"${process.execPath}" "${join(ROOT, "cli/tessera.mjs")}" `);
      const { stdout } = await promisify(execFile)("sh", ["-c", shell], { cwd: folder, maxBuffer: 1 << 26 });
      expect(stdout, command).not.toBe("");
    }
  });
});
