import type { Command } from "commander";
import { afterEach, describe, expect, test, vi } from "vitest";
import { build, main } from "../../cli/main.ts";

/** Runs a command line; its exit code and what it said on stderr. */
async function tessera(...args: string[]): Promise<{ code: number; stderr: string }> {
  let stderr = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => ((stderr += text), true));
  vi.spyOn(process.stdout, "write").mockImplementation(() => true);
  return { code: await main(args), stderr };
}
afterEach(() => void vi.restoreAllMocks());

describe("tessera", () => {
  test("--help is exit 0", async () => {
    expect((await tessera("--help")).code).toBe(0);
  });
  test("no verb, and one that is none, are bad usage", async () => {
    expect(await tessera()).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^tessera: expected a verb \(.*\), got none; see tessera --help\n$/),
    });
    expect(await tessera("wat")).toMatchObject({ code: 2, stderr: expect.stringMatching(/^tessera: expected a verb \(.*\), got "wat"/) });
  });
});

test.each([
  ["op --list --in x.safetensors", "expected --list without --in, got both"],
  ["op relu --list", 'expected --list without an operation, got "relu"'],
  ["op relu --check --backward", "expected --check without --backward, got both"],
  ["op relu --print-wgsl --dtype f16", "expected --print-wgsl without --dtype, got both"],
  ["op relu --in a --out b --time", "expected --in and --out without --time, got both"],
  ["op relu --file a.wgsl --variant shared", "expected --file without --variant, got both"],
  ["tune --op relu --shape 3x4 --batch 2", "expected --op without --batch, got both"],
  ["bench --port 8080", "expected a measurement without --port, got both"],
  ["bench --suite size --quick", "expected --suite size without --quick, got both"],
  ["bench --page --samples 3", "expected --page without --samples, got both"],
  // What --suite first runs of itself has a meaning.
  ["bench --alone --cases nosuch", 'expected cases of suite all with "nosuch" in their name for this adapter, got none'],
])("%s: an option without meaning there is bad usage", async (line, message) => {
  const { code, stderr } = await tessera(...line.split(" "));
  expect(stderr).toContain(message);
  expect(code).toBe(2);
});

const { commands } = await build();

describe.each(commands.map((command): [string, Command] => [command.name(), command]))("tessera %s", (name, command) => {
  test("has the common options, and --help", async () => {
    expect(command.options.map((o) => o.long)).toEqual(expect.arrayContaining(["--where", "--adapter", "--seed", "--json", "--debug"]));
    expect(command.description()).not.toBe("");
    expect((await tessera(name, "--help")).code).toBe(0);
  });
  test("an unknown option is one line and exit 2", async () => {
    const { code, stderr } = await tessera(name, "--no-such-option");
    expect(code).toBe(2);
    expect(stderr).toMatch(new RegExp(`^tessera ${name}: expected [^\\n]*\\n$`));
  });
  test("a seed that is no number is one line and exit 2", async () => {
    const { code, stderr } = await tessera(name, "--seed", "x");
    expect(code).toBe(2);
    expect(stderr).toMatch(new RegExp(`^tessera ${name}: expected [^\\n]* for --seed <n>, got "x"\\n$`));
  });
});
