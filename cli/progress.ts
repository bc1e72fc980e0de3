/** Progress on stderr: a bar with the time left on a terminal, else a line now and then. */
import cliProgress from "cli-progress";
import type { Progress } from "./host.ts";

const LINE_EVERY_MS = 10_000;

let bar: cliProgress.SingleBar | undefined;
let label: string | undefined;
let startedMs = 0;
let firstDone = 0;
let linedMs = 0;

/** "1:05", or "?" before anything can be said. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const whole = Math.ceil(seconds);
  const minutes = Math.floor(whole / 60);
  const rest = String(whole % 60).padStart(2, "0");
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

/** A new `label` starts a new bar; `done` equal to `total` ends it. */
export function showProgress({ label: name, done, total, note = "" }: Progress): void {
  const now = performance.now();
  const fresh = name !== label;
  if (fresh) {
    stopProgress();
    label = name;
    startedMs = now;
    linedMs = now;
    firstDone = done; // a resumed job starts in the middle
  }
  const left = duration(((now - startedMs) / 1000 / (done - firstDone)) * (total - done));
  if (process.stderr.isTTY) {
    if (!bar) {
      const format = "{label} [{bar}] {value}/{total} | {left} left | {note}";
      bar = new cliProgress.SingleBar({ format, stream: process.stderr, hideCursor: true, barsize: 24 }, cliProgress.Presets.legacy);
      bar.start(total, done, { label: name, left, note });
    } else {
      bar.update(done, { label: name, left, note });
    }
  } else if (done >= total || now - linedMs >= LINE_EVERY_MS) {
    linedMs = now;
    const time = done >= total ? `in ${duration((now - startedMs) / 1000)}` : `${left} left`;
    process.stderr.write(`${name} ${done}/${total}, ${time}${note ? `, ${note}` : ""}\n`);
  }
  if (done >= total) stopProgress();
}

/** Ends the bar, so that other output starts on a line of its own. */
export function stopProgress(): void {
  bar?.stop();
  bar = undefined;
  label = undefined;
}
