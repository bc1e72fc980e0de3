/** Folders that are full, read-only, removed, or written to by another run. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { Random } from "../../../kernels/shared/random.ts";
import type { Fault } from "./fault.ts";
import { begin, expectWhole, folder, goOn, reached, small, STEPS, stepOf, whole } from "./training.ts";

const MOUNTS = process.platform === "linux" && process.getuid?.() === 0 && mounts();
const unable = MOUNTS ? undefined : "needs root on Linux, to mount a small file system";

let disks = 0;

function mounts(): boolean {
  const at = join(folder, "mount");
  mkdirSync(at);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", at], { stdio: "ignore" });
    execFileSync("umount", [at]);
    return true;
  } catch {
    return false;
  }
}

/** Runs `body` with a file system of `kib` KiB of its own. */
async function onDisk<T>(kib: number, body: (at: string, remount: (mode: "ro" | "rw") => void) => Promise<T>): Promise<T> {
  const at = join(folder, `disk-${disks++}`);
  mkdirSync(at);
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${kib}k`, "tmpfs", at]);
  try {
    return await body(at, (mode) => execFileSync("mount", ["-o", `remount,${mode}`, at], { stdio: "ignore" }));
  } finally {
    execFileSync("umount", ["-l", at]);
  }
}

/** Number of a checkpoint at which a fault sets in. */
const somewhere = (random: Random): number => 1 + random.int(STEPS / 2);

const full: Fault = {
  name: "full disk",
  tries: 2,
  survives: "exit 1, file and standing checkpoint named; with room again, goes on to the same bits",
  unable,
  attempt: (random) =>
    onDisk(4096, async (disk) => {
      const out = join(disk, "run");
      const running = begin(small, out);
      await reached(somewhere(random), out, running);
      try {
        writeFileSync(join(disk, "filler"), new Uint8Array(1 << 23)); // to the last byte
      } catch (error) {
        expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC");
      }
      const { how, stderr } = await running.ended;
      expect(how, stderr).toBe(1);
      const step = stepOf(out);
      expect(stderr).toMatch(
        new RegExp(
          `\\ntessera train: train: expected room for \\S+( of \\d+ bytes)?, got ENOSPC; the checkpoint of step ${step} stands in \\S+checkpoint\\.safetensors\\n$`,
        ),
      );
      rmSync(join(disk, "filler"));
      await goOn(small, out);
      return undefined;
    }),
};

const readOnly: Fault = {
  name: "read-only folder, from the start or in mid-run",
  tries: 2,
  survives: "from the start exit 2 before any work; in mid-run exit 1, the checkpoint stands and goes on to the same bits",
  unable,
  attempt: (random, number) =>
    onDisk(8192, async (disk, remount) => {
      const out = join(disk, "run");
      if (number % 2 === 0) {
        remount("ro");
        const { how, stderr } = await begin(small, out).ended;
        expect(how, stderr).toBe(2);
        expect(stderr).toMatch(/^tessera train: expected a folder that can be written for --out, got EROFS at "\S+"\n$/);
        return undefined;
      }
      const running = begin(small, out);
      await reached(somewhere(random), out, running);
      for (let done = false; !done; )
        try {
          remount("ro");
          done = true;
        } catch {
          // a file is being written: busy
        }
      const { how, stderr } = await running.ended;
      expect(how, stderr).toBe(1);
      expect(stderr, stderr).toMatch(new RegExp(`got EROFS; the checkpoint of step ${stepOf(out)} stands in \\S+\\n$`));
      remount("rw");
      await goOn(small, out);
      return undefined;
    }),
};

const removed: Fault = {
  name: "folder removed in mid-run",
  tries: 2,
  survives: "made again: the run ends in the same weights",
  async attempt(random) {
    const out = join(folder, `removed-${disks++}`);
    const running = begin(small, out);
    await reached(somewhere(random), out, running);
    rmSync(out, { recursive: true, force: true, maxRetries: 5 });
    const { how, stderr } = await running.ended;
    expect(how, stderr).toBe(0);
    await expectWhole(small, out);
    return undefined;
  },
};

const twoWriters: Fault = {
  name: "two trainings at once in one folder",
  tries: 2,
  survives: "one is refused with exit 2 and the other's process named; the other ends in the same bits",
  async attempt(random) {
    await whole(small);
    const out = join(folder, `two-${disks++}`);
    const first = begin(small, out);
    await new Promise((resolve) => setTimeout(resolve, random.uniform(0, 1500)));
    const second = begin(small, out, ...(existsSync(join(out, "checkpoint.safetensors")) ? [] : ["--seed", "3"]));
    const both = await Promise.all([first.ended, second.ended]);
    const refused = both.filter(({ how }) => how === 2);
    expect(refused.length, both.map(({ how, stderr }) => `${how}: ${stderr}`).join("\n")).toBe(1);
    expect(refused[0]!.stderr).toMatch(
      /expected a folder that no other run writes to, got \S+, (held by process \d+|which another run took)/,
    );
    expect(both.some(({ how }) => how === 0)).toBe(true);
    if (both[0].how === 0) await expectWhole(small, out);
    return undefined;
  },
};

export const folders: readonly Fault[] = [full, readOnly, removed, twoWriters];
