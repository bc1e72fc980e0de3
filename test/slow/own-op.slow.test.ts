/** examples/own-op as a stranger runs it: the library packed, installed in a folder of its own, the operation checked and tuned. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

test("an operation outside the library is checked and tuned by what the package ships", { timeout: 900_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "tessera-own-op-"));
  try {
    const npm = (cwd: string, ...args: string[]) =>
      execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
    const packed = JSON.parse(npm(process.cwd(), "pack", "--json", "--silent", "--pack-destination", folder)) as [{ filename: string }];
    cpSync("examples/own-op", folder, { recursive: true });
    npm(folder, "install", "--no-audit", "--no-fund", "--silent", `./${packed[0].filename}`, "webgpu");
    const said = npm(folder, "start", "--silent");
    expect(said.match(/^passed: softplus \((ones|fours)\): /gm)).toHaveLength(4);
    expect(said).toMatch(/^softplus 788x768 by (ones|fours|default): [\d.]+ ms$/m);
    expect(said).toContain("softplus of -1, 0, 1, 2: 0.3133, 0.6931, 1.3133, 2.1269");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
