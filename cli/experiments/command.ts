import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { BIN } from "../place.ts";

/** Runs a `tessera` command. If it fails, its last line on stderr becomes the error. */
export function tessera(args: readonly string[], jobs: number, label: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // Trainings side by side share the cores better than the threads of one of them do (Mesa's CPU driver).
    const threads = { LP_NUM_THREADS: String(Math.max(1, Math.floor(availableParallelism() / jobs))) };
    const child = spawn(process.execPath, [BIN, ...args], { stdio: ["ignore", "ignore", "pipe"], env: { ...threads, ...process.env } });
    let words = "";
    child.stderr.on("data", (chunk: Buffer) => (words = (words + chunk.toString()).slice(-4000)));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) return resolve();
      reject(
        new Error(
          `${label}: expected training to end well, got ${signal ?? `exit ${code}`}: ${
            words
              .trim()
              .split(/[\r\n]/)
              .at(-1) ?? ""
          }`,
        ),
      );
    });
  });
}
