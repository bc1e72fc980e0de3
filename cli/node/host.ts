/** The machine that Node runs on, as jobs see it. */
import { appendFile, stat } from "node:fs/promises";
import { totalmem } from "node:os";
import type { Host } from "../../jobs/host.ts";
import { nodeImages } from "./images.ts";
import { UsageError } from "../../jobs/errors.ts";
import { note } from "../output.ts";
import { openLarge, readWhole, writeAtomic } from "./files.ts";
import { showProgress, stopProgress } from "./progress.ts";

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
    openLarge,
    writeFile: (path, bytes) =>
      writeAtomic(path, bytes).catch((error: unknown) => {
        throw new Error(`expected a file that can be written at "${path}", got ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
      }),
    appendFile,
    exists: (path) =>
      stat(path).then(
        () => true,
        () => false,
      ),
    images: nodeImages(),
    openOnnx: async (path) => (await import("./onnx-teacher.ts")).openOnnxTeacher(path),
    memoryBytes: Math.min(totalmem(), process.constrainedMemory() || Infinity),
    stopAsked: interrupted,
    log: onLog,
    progress: showProgress,
  };
  return host;
}

/** Signals that ask a job to stop, with the exit code that a shell has for each. */
const STOP_SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

let watched = false;
let stopSignal: keyof typeof STOP_SIGNALS | null = null;

/** Whether Ctrl-C or another stop signal came since the first call. A second signal ends the process. */
function interrupted(): boolean {
  if (!watched) {
    watched = true;
    const signals = Object.keys(STOP_SIGNALS) as (keyof typeof STOP_SIGNALS)[];
    const stop = (signal: keyof typeof STOP_SIGNALS) => {
      for (const name of signals) process.off(name, stop);
      stopSignal = signal;
      stopProgress();
      note("stopping after this step; Ctrl-C again ends at once");
    };
    for (const name of signals) process.on(name, stop);
  }
  return stopSignal !== null;
}

/** Calls `stop` at each stop signal, with the exit code of a command that it stops, until the returned function is called. */
export function onStopSignal(stop: (exitCode: number) => void): () => void {
  const handlers = Object.entries(STOP_SIGNALS).map(([name, code]) => [name, () => stop(code)] as const);
  for (const [name, handler] of handlers) process.on(name, handler);
  return () => {
    for (const [name, handler] of handlers) process.off(name, handler);
  };
}

/** The exit code of a command stopped by a signal: 128 + the signal's number; 0 without a signal. */
export const stoppedExitCode = (): number => (stopSignal === null ? 0 : STOP_SIGNALS[stopSignal]);

export interface DownloadSettings {
  readonly refresh: boolean;
  readonly timeoutMs: number | undefined;
}
let downloads: DownloadSettings = { refresh: false, timeoutMs: undefined };

/** For all downloads of this process: the command's `--refresh` and `--download-timeout`. */
export function configureDownloads(settings: DownloadSettings): void {
  downloads = settings;
}

const KEPT = {
  checked: ", kept from before",
  unchecked: ", kept from before and not compared with the server (--refresh downloads it anew)",
};

/** A file from a URL, kept in the user's cache folder. Logs its SHA-256; `#sha256=…` at the end of the URL requires that one. */
async function download(url: string, host: Host): Promise<Uint8Array<ArrayBuffer>> {
  const [{ loadUrl }, { downloadFolder }] = await Promise.all([import("../../models/checkpoints/url.ts"), import("./download-folder.ts")]);
  const label = `download ${url
    .replace(/[?#].*$/s, "")
    .split("/")
    .at(-1)}`;
  const { bytes, sha256, cached } = await loadUrl(url, {
    ...downloads,
    cache: downloadFolder(),
    onProgress: (done, total) => {
      if (total > 0) host.progress({ label, done, total });
    },
  });
  host.log({ message: `${url.replace(/[?#].*$/s, "")}: ${bytes.length} bytes${cached ? KEPT[cached] : ""}, sha256 ${sha256}` });
  return bytes;
}

const isUrl = (path: string): boolean => /^https?:\/\//i.test(path);

function printEvent(event: Readonly<Record<string, unknown>>): void {
  stopProgress();
  const { message, ...rest } = event;
  const fields = Object.entries(rest).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  note([message, ...fields].filter((part) => part !== undefined).join(" "));
}
