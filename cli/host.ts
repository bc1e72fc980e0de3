/**
 * What a job may ask of the machine: files, and a way to tell how far it is. A job written against `Host` runs
 * unchanged in Node (`nodeHost`) and inside a page (`pageHost` in app/page-host.ts). Jobs import the type only.
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UsageError } from "./errors.ts";
import { showProgress, stopProgress } from "./progress.ts";

/** How far a job is: `done` of `total` steps of what `label` names. `note` is shown beside it, e.g. the loss. */
export interface Progress {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  readonly note?: string;
}

export interface Host {
  /** Paths are relative to where the command was started. A file that cannot be read is a `UsageError`. */
  readFile(path: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Atomic: whoever reads `path` sees the old content or the new, whole. Makes the folder if it is missing. */
  writeFile(path: string, bytes: Uint8Array): Promise<void>;
  exists(path: string): Promise<boolean>;
  /** One thing that happened, as JSON-able data. With only a `message`, that is the line that people see. */
  log(event: Readonly<Record<string, unknown>>): void;
  progress(state: Progress): void;
}

/** A job: `export default` of a file in cli/jobs. Arguments and result are JSON-able; arrays of numbers go through files. */
export type Job<Args = never, Result = unknown> = (host: Host, args: Args) => Promise<Result>;

/** The machine that Node runs on. `onLog` replaces the line on stderr that `log` writes. */
export function nodeHost(onLog: (event: Readonly<Record<string, unknown>>) => void = printEvent): Host {
  return {
    async readFile(path) {
      try {
        const bytes = await readFile(path);
        return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      } catch (error) {
        throw new UsageError(`expected a file that can be read at "${path}", got ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
      }
    },
    writeFile: writeAtomic,
    exists: (path) => stat(path).then(() => true, () => false),
    log: onLog,
    progress: showProgress,
  };
}

async function writeAtomic(path: string, bytes: Uint8Array): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  // In the same folder, so that the rename stays within one file system.
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString("hex")}`);
  try {
    const file = await open(temporary, "wx");
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function printEvent(event: Readonly<Record<string, unknown>>): void {
  stopProgress();
  const { message, ...rest } = event;
  const fields = Object.entries(rest).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  process.stderr.write(`${[message, ...fields].filter((part) => part !== undefined).join(" ")}\n`);
}
