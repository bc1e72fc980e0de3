/** The browser behind `--where chromium` as a process: no port of its own, no process left behind, and an end where its GPU stands still. */
import { spawn, type ChildProcess } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { openChromium } from "../../cli/node/chromium.ts";

const linux = process.platform === "linux"; // by /proc
const folder = await mkdtemp(join(tmpdir(), "tessera-chromium-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Processes that descend from `pid`, by their ids. */
function descendants(pid: number): number[] {
  const parents = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const parent = /\) \S (\d+)/.exec(readFileSync(`/proc/${name}/stat`, "utf8"))![1]!;
        return [{ pid: Number(name), parent: Number(parent) }];
      } catch {
        return []; // it has ended meanwhile
      }
    });
  const below = (of: number): number[] => parents.filter((p) => p.parent === of).flatMap((p) => [p.pid, ...below(p.pid)]);
  return below(pid);
}

const commandOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
};

/** Ports on which a process listens. */
function listening(pid: number): number[] {
  const sockets = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /socket:\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return [];
      }
    }),
  );
  const rows = ["tcp", "tcp6"].flatMap((kind) => readFileSync(`/proc/net/${kind}`, "utf8").trim().split("\n").slice(1));
  return rows
    .map((row) => row.trim().split(/\s+/))
    .filter((fields) => fields[3] === "0A" && sockets.has(fields[9]!))
    .map((fields) => Number.parseInt(fields[1]!.split(":")[1]!, 16));
}

async function until(condition: () => boolean, seconds: number): Promise<void> {
  for (const end = Date.now() + 1000 * seconds; !condition(); await new Promise((resolve) => setTimeout(resolve, 100)))
    if (Date.now() > end) throw new Error(`expected it within ${seconds} s`);
}

let started: ChildProcess | undefined;
afterEach(() => started?.kill("SIGKILL"));

test.runIf(linux)("while a job runs no process of the browser listens, and none outlives a killed command", async () => {
  const model = JSON.stringify({ arch: "deit", imgSize: 32, patchSize: 8, dim: 32, depth: 1, heads: 2, numClasses: 10 });
  const args = ["train", "--model", model, "--batch-size", "20", "--epochs", "50", "--eval-every", "100", "--out", join(folder, "run")];
  const child = (started = spawn(process.execPath, ["cli/tessera.mjs", ...args, "--where", "chromium"], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, TMPDIR: folder },
  }));
  let said = "";
  child.stderr.on("data", (chunk) => (said += String(chunk)));
  await until(() => said.includes("adapter:") || child.exitCode !== null, 100);
  expect(said).toContain("in Chromium");

  const browser = descendants(child.pid!);
  expect(browser.length).toBeGreaterThan(3);
  expect(browser.flatMap(listening)).toEqual([]);
  expect(browser.map(commandOf).filter((command) => command.includes("--remote-debugging-port"))).toEqual([]);

  const commands = browser.map(commandOf);
  child.kill("SIGKILL");
  await until(() => browser.every((pid, k) => commandOf(pid) !== commands[k]), 20);
});

test.runIf(linux)("a GPU process that stands still ends the job with a message", async () => {
  const chromium = await openChromium({ gpuTimeout: 3 });
  const gpu = descendants(chromium.browser.process()!.pid!).find((pid) => commandOf(pid).includes("--type=gpu-process"))!;
  try {
    process.kill(gpu, "SIGSTOP");
    await expect(chromium.runModule("/test/app/wait-forever.ts", "wait")).rejects.toThrow(
      "expected the GPU to answer within 3 s, got nothing; --gpu-timeout allows for more",
    );
  } finally {
    await chromium.close();
  }
  await until(() => commandOf(gpu) === "", 20);
});
