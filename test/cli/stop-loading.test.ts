/** A signal while a run still waits for its weights ends it at once, with the signal's exit code and nothing written. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

test("SIGTERM during a download that has stalled", async () => {
  const out = join(mkdtempSync(join(tmpdir(), "tessera-loading-")), "run");
  const server = createServer(() => undefined); // never answers
  const asked = new Promise((resolve) => server.once("request", resolve));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/weights.safetensors`;
    const model = JSON.stringify({ arch: "deit", imgSize: 32, patchSize: 16, dim: 16, depth: 1, heads: 1, numClasses: 10 });
    const args = ["cli/tessera.mjs", "train", "--model", model, "--weights", url, "--download-timeout", "600", "--out", out];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
    let stderr = "";
    child.stderr.on("data", (text) => (stderr += text));
    const ended = new Promise((resolve) => child.on("exit", resolve));
    await asked;
    child.kill("SIGTERM");
    expect(await ended, stderr).toBe(143);
    expect(stderr).toMatch(/\ntessera train: stopped while data and weights were loaded; nothing was changed\n$/);
    expect(existsSync(out)).toBe(false);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
