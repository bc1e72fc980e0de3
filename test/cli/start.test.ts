/** What a command runs is the program's own, whatever folder it is started in; paths are relative to where npm was called. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";

const CLI = resolve("cli/tessera.mjs");
const folder = mkdtempSync(join(tmpdir(), "tessera-start-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const tessera = async (args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): Promise<Ran> => {
  try {
    return {
      code: 0,
      ...(await promisify(execFile)(process.execPath, [CLI, ...args], { ...options, env: { ...process.env, ...options.env } })),
    };
  } catch (error) {
    return error as Ran & Error;
  }
};

test("neither a tsconfig.json of the folder nor TSX_TSCONFIG_PATH changes what is loaded", async () => {
  const aliases = Object.fromEntries(["zod", "zod/mini", "commander"].map((name) => [name, ["./evil.ts"]]));
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: { baseUrl: ".", paths: aliases } }));
  writeFileSync(join(folder, "evil.ts"), `console.log("EVIL");`);
  writeFileSync(join(folder, "vite.config.ts"), `console.log("EVIL");`);
  const env = { TSX_TSCONFIG_PATH: join(folder, "tsconfig.json") };
  const { code, stdout, stderr } = await tessera(["models"], { cwd: folder, env });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("deit_tiny_patch16_224");
  expect(stdout).not.toContain("EVIL");
});

test("by npm from another folder, paths are relative to that folder", async () => {
  const env = { INIT_CWD: folder, npm_lifecycle_script: "node cli/tessera.mjs" };
  expect(await tessera(["models", "--json", "models.json"], { cwd: resolve("."), env })).toMatchObject({ code: 0 });
  expect(JSON.parse(readFileSync(join(folder, "models.json"), "utf8"))).toHaveProperty("models");
});

test.each([
  [[""], 'expected a file for --json, got ""'],
  [["."], 'expected a file for --json, got the folder "."'],
  [["models.txt/x.json"], 'expected a file that can be written for --json, got ENOTDIR at "models.txt/x.json"'],
])("--json %j is refused before anything is printed", async ([path], message) => {
  writeFileSync(join(folder, "models.txt"), "");
  expect(await tessera(["models", "--json", path!], { cwd: folder })).toMatchObject({
    code: 2,
    stdout: "",
    stderr: `tessera models: ${message}\n`,
  });
});

test.runIf(process.platform === "linux")("a folder that /proc cannot hold is refused, not tried for ever", async () => {
  const { code, stderr } = await tessera(["models", "--json", "/proc/nope/x/y.json"]);
  expect(code).toBe(2);
  expect(stderr).toMatch(/^tessera models: expected a file that can be written for --json, got E\w+ at "\/proc\/nope\/x\/y.json"\n$/);
});

test.runIf(process.platform === "linux")("a full disk behind standard output is a failure", async () => {
  const run = promisify(execFile)("sh", ["-c", `"${process.execPath}" "${CLI}" models > /dev/full`]);
  await expect(run).rejects.toMatchObject({ code: 1, stderr: "tessera models: expected standard output to take the result, got ENOSPC\n" });
});

test("control characters of a file's name are shown, not sent to the terminal", async () => {
  const { code, stderr } = await tessera(["models", "--json", join(folder, "\u001b]0;title\u0007", "x", "\u001b[2J")], { cwd: folder });
  expect(code).toBe(0);
  const refused = await tessera(["models", "--json", "models.txt/\u001b[2J.json"], { cwd: folder });
  expect(refused.stderr).toContain("models.txt/\\u001b[2J.json");
  expect(stderr + refused.stderr).not.toContain("\u001b");
});

test("a port that there is not is refused before anything is installed", async () => {
  expect(await tessera(["bench", "--page", "--port", "99999"])).toMatchObject({
    code: 2,
    stderr: 'tessera bench: expected an integer in [1, 65535] for --port <n>, got "99999"\n',
  });
});
