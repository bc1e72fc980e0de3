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
/** What a reader waits for one command, on two loaded cores without a GPU. */
const MINUTES = 4;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tessera-guides-"));
  for (const name of ["app", "test"]) symlinkSync(join(ROOT, name), join(folder, name), "dir"); // a clone's own files, named by the commands
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const commandsOf = (file: string): string[] =>
  [...readFileSync(join(GUIDES, file), "utf8").matchAll(/```sh\n([^]*?)```/g)].flatMap(([, code]) => code!.trim().split("\n"));

describe.each(readdirSync(GUIDES).flatMap((file) => (commandsOf(file).length > 0 ? [[file, commandsOf(file)] as const] : [])))(
  "%s",
  (_, commands) => {
    test.each(commands)(
      "%s",
      async (command) => {
        const shell = command.replace(/^tessera /, `exec "${process.execPath}" "${join(ROOT, "cli/tessera.mjs")}" `);
        const began = performance.now();
        const { stdout } = await promisify(execFile)("sh", ["-c", shell], { cwd: folder, maxBuffer: 1 << 26, timeout: MINUTES * 60_000 });
        console.log(`${((performance.now() - began) / 1000).toFixed(0)} s: ${command}`);
        expect(stdout !== "" || />/.test(command), command).toBe(true); // what is redirected prints nothing
      },
      (MINUTES + 1) * 60_000,
    );
  },
);
