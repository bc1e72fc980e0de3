/** Commands of this program in processes of their own, which a stop reaches in order. */
import { spawn, type ChildProcess } from "node:child_process";
import { availableParallelism } from "node:os";
import { StoppedError } from "../../jobs/stop.ts";
import { BIN } from "../place.ts";

/** Exit codes of commands that a signal stopped. */
const STOPPED = [129, 130, 143];

export class Commands {
  readonly #jobs: number;
  readonly #running = new Set<ChildProcess>();
  #stopping = false;

  /** `jobs`: how many run at a time. */
  constructor(jobs: number) {
    this.#jobs = jobs;
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** Asks all commands to stop, which trainings do after they have saved; a second time ends them at once. */
  stop(): void {
    for (const child of this.#running) child.kill(this.#stopping ? "SIGKILL" : "SIGTERM");
    this.#stopping = true;
  }

  /** Runs a `tessera` command. If it fails, its last line on stderr becomes the error; if it was stopped, a `StoppedError`. */
  run(args: readonly string[], label: string): Promise<void> {
    if (this.#stopping) return Promise.reject(new StoppedError(`${label}: stopped`));
    return new Promise((resolve, reject) => {
      // Trainings side by side share the cores better than the threads of one of them do (Mesa's CPU driver).
      const threads = { LP_NUM_THREADS: String(Math.max(1, Math.floor(availableParallelism() / this.#jobs))) };
      const child = spawn(process.execPath, [BIN, ...args], {
        stdio: ["ignore", "ignore", "pipe"],
        env: { ...threads, ...process.env },
        detached: true, // Ctrl-C reaches this process only: two signals would end a training that saves
      });
      this.#running.add(child);
      let words = "";
      child.stderr.on("data", (chunk: Buffer) => (words = (words + chunk.toString()).slice(-4000)));
      child.on("error", reject);
      child.on("close", (code, signal) => {
        this.#running.delete(child);
        if (code === 0) return resolve();
        if (this.#stopping && (signal !== null || STOPPED.includes(code!))) return reject(new StoppedError(`${label}: stopped`));
        const last =
          words
            .trim()
            .split(/[\r\n]/)
            .at(-1) ?? "";
        reject(new Error(`${label}: expected the command to end well, got ${signal ?? `exit ${code}`}: ${last}`));
      });
    });
  }
}
