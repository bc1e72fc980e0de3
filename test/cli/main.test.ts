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
