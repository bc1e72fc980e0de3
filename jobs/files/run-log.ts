/** A run's metrics: kept for its summary, and in its folder as metrics.jsonl and TensorBoard's events. */
import type { EpochMetrics, StepMetrics } from "../../train/metrics.ts";
import type { Host } from "../host.ts";
import { tensorboardFile, tensorboardRecords, type ScalarEvent } from "./tensorboard.ts";

/** A line of metrics.jsonl. */
export type Line = (StepMetrics | EpochMetrics) & { /** Seconds since 1970. */ readonly time: number };

interface Paths {
  readonly metrics: string;
  readonly events: string;
}

export class RunLog {
  readonly lines: Line[];
  readonly #host: Host;
  readonly #paths: Paths;
  /** Lines that both files hold; `null`: nothing was written yet in this run. */
  #written: number | null = null;

  private constructor(host: Host, paths: Paths, lines: Line[]) {
    this.#host = host;
    this.#paths = paths;
    this.lines = lines;
  }

  /**
   * A resumed run keeps the lines on disk up to update `resumed`; later lines belong to updates that are repeated. Lines that a kill cut
   * short are reported and dropped.
   */
  static async open(host: Host, paths: Paths, resumed: number | null): Promise<RunLog> {
    if (resumed === null || !(await host.exists(paths.metrics))) return new RunLog(host, paths, []);
    const rows = new TextDecoder()
      .decode(await host.readFile(paths.metrics))
      .split("\n")
      .filter(Boolean);
    const lines = rows.map(parseLine).filter((line) => line !== null);
    const torn = rows.length - lines.length;
    if (torn > 0) host.log({ message: `${paths.metrics}: ${torn} of ${rows.length} lines cannot be read and are left out` });
    return new RunLog(
      host,
      paths,
      lines.filter((line) => line.step <= resumed),
    );
  }

  add(metrics: StepMetrics | EpochMetrics): void {
    this.lines.push({ ...metrics, time: Date.now() / 1000 });
  }

  /** Updates both files: the first time writes them whole, then appends the new lines. */
  async flush(): Promise<void> {
    const lines = this.lines.slice(this.#written ?? 0);
    const text = new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    const events = lines.flatMap(scalarsOf);
    // A folder that was removed in the middle of a run is made again.
    if (this.#written !== null && !((await this.#host.exists(this.#paths.metrics)) && (await this.#host.exists(this.#paths.events)))) {
      this.#written = null;
      return this.flush();
    }
    if (this.#written === null) {
      await this.#host.writeFile(this.#paths.metrics, text);
      await this.#host.writeFile(this.#paths.events, tensorboardFile(events));
    } else if (lines.length > 0) {
      await this.#host.appendFile(this.#paths.metrics, text);
      await this.#host.appendFile(this.#paths.events, tensorboardRecords(events));
    }
    this.#written = this.lines.length;
  }
}

/** `null` unless the text is a whole line of metrics. */
function parseLine(text: string): Line | null {
  try {
    const line = JSON.parse(text) as Partial<Line> | null;
    return (line?.kind === "step" || line?.kind === "epoch") && Number.isInteger(line.step) ? (line as Line) : null;
  } catch {
    return null;
  }
}

/** A line of metrics as TensorBoard events. */
function scalarsOf(m: Line): ScalarEvent[] {
  const values: Record<string, number | undefined> =
    m.kind === "step"
      ? {
          "train/loss": m.loss,
          "train/loss_base": m.base,
          "train/loss_distill": m.distill,
          "train/lr": m.lr,
          "train/grad_norm": m.gradNorm,
          "train/top1": m.trainTop1,
          "train/images_per_second": m.imagesPerSecond,
          "train/input_wait": m.inputWait,
          "train/loss_scale": m.lossScale,
        }
      : {
          "test/top1": m.test?.model.top1,
          "test/top5": m.test?.model.top5,
          "test/loss": m.test?.model.loss,
          "test/top1_cls": m.test?.cls?.top1,
          "test/top1_dist": m.test?.dist?.top1,
        };
  return Object.entries(values).flatMap(([tag, value]) =>
    typeof value === "number" ? [{ tag, value, step: m.step, wallTime: m.time }] : [],
  );
}
