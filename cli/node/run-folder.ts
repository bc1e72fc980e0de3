/** The folder that a training writes to: made if missing, cleared of files that killed writers left, locked by one process at a time. */
import { readdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { UsageError } from "../../jobs/errors.ts";
import { makeFolder } from "./files.ts";

const LOCK = ".lock";

/** Names of the temporary files that a killed atomic write leaves: `.NAME.` and 12 hexadecimal digits. */
const LITTER = /^\.(checkpoint|model|model_ema|metrics|events|report)\..*\.[0-9a-f]{12}$/;

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Start time of the process, if the system tells it: tells it apart from a later process with the same number. */
  readonly began: string | null;
}

/** Runs `body` with the folder held. Refuses one that cannot be written, or that a living process holds; a dead one's lock is taken over. */
export async function withRunFolder<T>(folder: string, body: () => Promise<T>): Promise<T> {
  const made = await makeFolder(resolve(folder)).catch((error: unknown) => unusable("a folder that can be written", folder, error));
  const lock = join(folder, LOCK);
  const own = JSON.stringify({ pid: process.pid, host: hostname(), began: await beginning(process.pid) } satisfies Holder);
  await take(lock, own, folder);
  try {
    for (const name of await readdir(folder)) if (LITTER.test(name)) await rm(join(folder, name), { force: true });
    return await body();
  } finally {
    // A folder that has become read-only keeps the lock, which the next run takes over: what ended the run is told, not this.
    await rm(lock, { force: true }).catch(() => undefined);
    for (const own of made.reverse()) await rmdir(own).catch(() => undefined); // where nothing was written
  }
}

async function take(lock: string, own: string, folder: string): Promise<void> {
  for (let attempt = 0; attempt < 2; attempt++) {
    const error = await writeFile(lock, own, { flag: "wx" }).then(
      () => null,
      (e: NodeJS.ErrnoException) => e,
    );
    if (error === null && (await readFile(lock, "utf8")) === own) return;
    if (error !== null && error.code !== "EEXIST") unusable("a folder that can be written", folder, error);
    const holder = await holderOf(lock);
    if (holder && (await lives(holder)))
      throw new UsageError(
        `expected a folder that no other run writes to, got ${folder}, held by process ${holder.pid} on ${holder.host} (if that is gone, remove ${lock})`,
      );
    await rm(lock, { force: true });
  }
  throw new UsageError(`expected a folder that no other run writes to, got ${folder}, which another run took at the same time`);
}

/** `null` where the lock is gone, or is no lock of ours. */
async function holderOf(lock: string): Promise<Holder | null> {
  try {
    return JSON.parse(await readFile(lock, "utf8")) as Holder;
  } catch {
    return null;
  }
}

/** Whether the process may still run; always true for a process of another machine. */
async function lives({ pid, host, began }: Holder): Promise<boolean> {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  return (await beginning(pid)) === began;
}

/** When a process began, in clock ticks since the system did; `null` where there is no /proc. */
async function beginning(pid: number): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
  // Its second field, the command in brackets, may hold spaces and brackets; the beginning is the 22nd.
  return text?.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? null;
}

function unusable(expected: string, path: string, error: unknown): never {
  throw new UsageError(`expected ${expected}, got ${path} (${(error as NodeJS.ErrnoException).code ?? String(error)})`);
}
