/** What the server of a headless page gives away: modules of the program to the page, and nothing else. */
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { nodeHost } from "../../cli/node/host.ts";
import { servePage } from "../../cli/node/page-server.ts";

const server = await servePage(nodeHost());
const { origin } = new URL(server.url);
afterAll(() => server.close());

test("the page and its modules are served, isolated", async () => {
  const page = await fetch(server.url);
  expect(await page.text()).toBe(readFileSync("app/headless.html", "utf8"));
  expect(page.headers.get("cross-origin-embedder-policy")).toBe("require-corp");
  const module = await fetch(`${origin}/jobs/errors.ts`);
  expect(await module.text()).toContain("class UsageError extends Error");
});

test.each(["/__open-in-editor?file=package.json", "/.git/config", "/.cache/setup.json", "/%2ecache/setup.json", "/app/../.git/config"])(
  "%s is not answered",
  async (path) => {
    // fetch would resolve the dots itself
    const status = await new Promise<number>((done) => request(`${origin}${path}`, (answer) => done(answer.statusCode!)).end());
    expect(status).toBe(404);
  },
);

test("another origin gets no permission to read", async () => {
  const answer = await fetch(`${origin}/jobs/errors.ts`, { headers: { origin: "http://localhost:5173" } });
  expect(answer.headers.get("access-control-allow-origin")).toBeNull();
});

test("a folder whose name holds # is refused by name, at once", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tessera#"));
  try {
    for (const part of ["app", "cli", "jobs", "engine", "models", "train", "kernels", "checks", "bench", "package.json"])
      cpSync(part, join(folder, part), { recursive: true, filter: (path) => !path.includes("node_modules") });
    symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
    cpSync(".cache/setup.json", join(folder, ".cache/setup.json"));
    const run = promisify(execFile)(process.execPath, [join(folder, "cli/tessera.mjs"), "op", "relu", "--check", "--where", "chromium"]);
    await expect(run).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^tessera op: expected a folder without # and \? in its path, which Vite cannot serve, got ".*tessera#/m,
      ),
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
