/**
 * What a job may ask of the machine: files, and a way to tell how far it is. A job written against `Host` runs
 * unchanged in Node (`nodeHost`) and inside a page (`pageHost` in app/page-host.ts). Jobs import the type only.
 */
import { stat } from "node:fs/promises";
import type { ImagePlatform } from "../train/input/source.ts";
import { nodeImages } from "./data-node.ts";
import { UsageError } from "./errors.ts";
import { readWhole, writeAtomic } from "./files.ts";
import { showProgress, stopProgress } from "./progress.ts";

/** How far a job is: `done` of `total` steps of what `label` names. `note` is shown beside it, e.g. the loss. */
export interface Progress {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  readonly note?: string;
  /** What `note` is about, from the start: shown as a small curve where there is a terminal. */
  readonly curve?: readonly number[];
}

export interface Host {
  /** Paths are relative to where the command was started; an http(s) URL is fetched, once. A file that cannot be read is a `UsageError`. */
  readFile(path: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Parts of files, decoders and threads, for the input pipeline. */
  readonly images: ImagePlatform;
  /** Atomic: whoever reads `path` sees the old content or the new, whole. Makes the folder if it is missing. */
  writeFile(path: string, bytes: Uint8Array): Promise<void>;
  exists(path: string): Promise<boolean>;
  /** Whether the job was asked to stop at its next good moment: by Ctrl-C, which a second time ends the process. A page may know of it a step late. */
  stopAsked(): boolean;
  /** One thing that happened, as JSON-able data. With only a `message`, that is the line that people see. */
  log(event: Readonly<Record<string, unknown>>): void;
  progress(state: Progress): void;
}

/** A job: `export default` of a file in cli/jobs. Arguments and result are JSON-able; arrays of numbers go through files. */
export type Job<Args = never, Result = unknown> = (host: Host, args: Args) => Promise<Result>;

/** The machine that Node runs on. `onLog` replaces the line on stderr that `log` writes. */
export function nodeHost(onLog: (event: Readonly<Record<string, unknown>>) => void = printEvent): Host {
  const host: Host = {
    async readFile(path) {
      try {
        return isUrl(path) ? await download(path, host) : await readWhole(path);
      } catch (error) {
        if (isUrl(path)) throw new UsageError((error as Error).message.replace(/^download: /, ""));
        throw new UsageError(
          `expected a file that can be read at "${path}", got ${(error as NodeJS.ErrnoException).code ?? String(error)}`,
        );
      }
    },
    writeFile: writeAtomic,
    exists: (path) =>
      stat(path).then(
        () => true,
        () => false,
      ),
    images: nodeImages(),
    stopAsked: interrupted,
    log: onLog,
    progress: showProgress,
  };
  return host;
}

let asked: boolean | null = null;

/** Whether Ctrl-C was pressed since this was first called. Pressed again, it ends the process as it always does. */
function interrupted(): boolean {
  if (asked === null) {
    asked = false;
    process.once("SIGINT", () => {
      asked = true;
      stopProgress();
      process.stderr.write("stopping after this step; Ctrl-C again ends at once\n");
    });
  }
  return asked;
}

/** A file from a URL, kept in the user's cache folder. Says its checksum, which `#sha256=…` behind the URL makes a condition. */
async function download(url: string, host: Host): Promise<Uint8Array<ArrayBuffer>> {
  const [{ loadUrl }, { downloadFolder }] = await Promise.all([import("../models/load-url.ts"), import("./download-folder.ts")]);
  const label = `download ${url
    .replace(/[?#].*$/s, "")
    .split("/")
    .at(-1)}`;
  const { bytes, sha256, cached } = await loadUrl(url, {
    cache: downloadFolder(),
    onProgress: (done, total) => {
      if (total > 0) host.progress({ label, done, total });
    },
  });
  host.log({ message: `${url.replace(/[?#].*$/s, "")}: ${bytes.length} bytes${cached ? ", kept from before" : ""}, sha256 ${sha256}` });
  return bytes;
}

const isUrl = (path: string): boolean => /^https?:\/\//i.test(path);

function printEvent(event: Readonly<Record<string, unknown>>): void {
  stopProgress();
  const { message, ...rest } = event;
  const fields = Object.entries(rest).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  process.stderr.write(`${[message, ...fields].filter((part) => part !== undefined).join(" ")}\n`);
}
