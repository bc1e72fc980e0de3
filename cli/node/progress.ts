/** Progress on stderr: a bar with the time left on a terminal, else a line every few seconds. */
import cliProgress from "cli-progress";
import { duration } from "../../jobs/files/duration.ts";
import type { Progress } from "../../jobs/host.ts";
import { shown } from "../../models/shown.ts";
import { note as say } from "../output.ts";

const LINE_EVERY_MS = 10_000;

let bar: cliProgress.SingleBar | undefined;
let label: string | undefined;
let startedMs = 0;
let firstDone = 0;
let linedMs = 0;

/** A new `label` starts a new bar; `done` equal to `total` ends it. */
export function showProgress({ label: name, done, total, note: about = "", curve }: Progress): void {
  const note = shown(about);
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
    const drawn = curve && curve.length > 1 ? `${sparkline(curve)} ${note}` : note;
    if (!bar) {
      const format = "{label} [{bar}] {value}/{total} | {left} left | {note}";
      bar = new cliProgress.SingleBar({ format, stream: process.stderr, hideCursor: true, barsize: 24 }, cliProgress.Presets.legacy);
      bar.start(total, done, { label: shown(name), left, note: drawn });
    } else {
      bar.update(done, { label: shown(name), left, note: drawn });
    }
  } else if (done >= total || now - linedMs >= LINE_EVERY_MS) {
    linedMs = now;
    const time = done >= total ? `in ${duration((now - startedMs) / 1000)}` : `${left} left`;
    say(`${name} ${done}/${total}, ${time}${note ? `, ${note}` : ""}`);
  }
  if (done >= total) stopProgress();
}

const LEVELS = "▁▂▃▄▅▆▇█";

/** Numbers as at most `width` bar characters, each the mean of equally many neighbours, scaled from the smallest to the largest. */
export function sparkline(values: readonly number[], width = 20): string {
  const n = Math.min(width, values.length);
  const means = Array.from({ length: n }, (_, k) => {
    const part = values.slice(Math.floor((k * values.length) / n), Math.floor(((k + 1) * values.length) / n)).filter(Number.isFinite);
    return part.reduce((a, b) => a + b, 0) / part.length;
  });
  const known = means.filter(Number.isFinite);
  const low = Math.min(...known),
    high = Math.max(...known);
  return means
    .map((v) => (Number.isFinite(v) ? LEVELS[high > low ? Math.round(((LEVELS.length - 1) * (v - low)) / (high - low)) : 0] : " "))
    .join("");
}

/** Ends the bar, so that other output starts on a line of its own. */
export function stopProgress(): void {
  bar?.stop();
  bar = undefined;
  label = undefined;
}
