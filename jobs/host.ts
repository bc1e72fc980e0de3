/**
 * The machine as a job sees it: files, images, progress. A job written against `Host` runs unchanged in Node (`nodeHost` in
 * cli/node/host.ts) and inside a page (`pageHost` in app/page-host.ts).
 */
import type { FileBytes } from "../models/checkpoints/file-bytes.ts";
import type { OutsideTeacher } from "../train/answers.ts";
import type { ImagePlatform } from "../train/input/source.ts";

/** How far a job is: `done` of `total` steps of what `label` names. `note` is shown beside it, e.g. the loss. */
export interface Progress {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  readonly note?: string;
  /** The values so far of the number in `note`; a terminal shows them as a small curve. */
  readonly curve?: readonly number[];
}

export interface Host {
  /** Paths are relative to where the command was started; an http(s) URL is fetched, once. A file that cannot be read is a `UsageError`. */
  readFile(path: string): Promise<Uint8Array<ArrayBuffer>>;
  /** A file that is too large for an array, read when its bytes are asked for; `null` for any other. Not in a page. */
  openLarge?(path: string): Promise<FileBytes | null>;
  /** Parts of files, decoders and threads, for the input pipeline. */
  readonly images: ImagePlatform;
  /** Atomic: whoever reads `path` sees the old content or the new, whole. Makes the folder if it is missing. */
  writeFile(path: string, bytes: Uint8Array): Promise<void>;
  /** Adds to the end of a file that is there. Not atomic: a kill may leave a part of `bytes`. */
  appendFile(path: string, bytes: Uint8Array): Promise<void>;
  exists(path: string): Promise<boolean>;
  /** Opens an ONNX model as a teacher; only where a runtime for such files can be loaded. */
  openOnnx?(path: string): Promise<OutsideTeacher>;
  /** The machine's memory in bytes, where it is known. */
  readonly memoryBytes?: number | undefined;
  /** Whether a stop was requested by Ctrl-C, SIGTERM or SIGHUP; a second signal ends the process. A page may learn of it one step late. */
  stopAsked(): boolean;
  /** One event, as JSON-able data. An event with only a `message` is printed as that line. */
  log(event: Readonly<Record<string, unknown>>): void;
  progress(state: Progress): void;
}

/** A job: `export default` of a file in jobs/. Arguments and result are JSON-able; arrays of numbers go through files. */
export type Job<Args = never, Result = unknown> = (host: Host, args: Args) => Promise<Result>;
