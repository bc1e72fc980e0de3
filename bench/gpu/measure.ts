/** Runs cases as the benchmark does and keeps what there is after each of them. */
import type { Adapter, Benchmark } from "../benchmark.ts";
import { measureCeilings, peakFraction, type Ceilings } from "../ceilings.ts";
import type { Contender, StartRival } from "../contender.ts";
import { ours } from "../ours.ts";
import { measure, type Limits, type Measured } from "../run.ts";
import type { AdapterDescription, Device } from "../../engine/device.ts";
import { trimPool } from "../../engine/launch.ts";
import { nodeGPU } from "../../tasks/node.ts";
import { open, save, stopwatch, TOGGLES, type Run, type Toggles } from "./step.ts";

export type Result = Measured & { readonly peakFraction: number | null };

export interface Cases {
  readonly adapter: AdapterDescription & { readonly toggles: readonly string[] };
  readonly date: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly rivalFlags: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Rivals that did not start, with the reason. */
  readonly absent: Readonly<Record<string, string>>;
  readonly limits: Limits;
  readonly ceilings: Ceilings;
  readonly cases: readonly Result[];
  /** The step's time was over before. */
  readonly notRun: readonly string[];
}

export const limitsOf = (smoke: boolean, long: boolean): Limits =>
  smoke
    ? { samples: 3, seconds: 0, atMostSeconds: 2, sampleMs: 1 }
    : long
      ? { samples: 7, seconds: 2, atMostSeconds: 12, sampleMs: 200, warmMs: 500 }
      : { samples: 9, seconds: 0.5, atMostSeconds: 4, sampleMs: 20, warmMs: 300 };

/** Results that are not numbers, or nothing but zeros, are an error even where no rival says otherwise. */
export function checked(contender: Contender): Contender {
  return {
    ...contender,
    async prepare(c, inputs) {
      const prepared = await contender.prepare(c, inputs);
      return {
        ...prepared,
        async result() {
          const found = await prepared.result();
          if (!found.every((a) => a.some((v) => v !== 0) && a.every((v) => Number.isFinite(v))))
            throw new Error("expected finite results that are not all zero, got others");
          return found;
        },
      };
    },
  };
}

/** `rival`: URL of its bundle, for cases beside it. */
export async function measureAll(
  step: string,
  toggles: Toggles,
  cases: readonly Benchmark[],
  run: Run,
  about: { version: string; rival?: string },
): Promise<void> {
  const device = await open(toggles, run);
  const set: Adapter = device.adapter.software ? "software" : "gpu";
  const over = stopwatch(run.seconds);
  const rivals: Contender[] = [];
  const absent: Record<string, string> = {};
  if (about.rival)
    await startRival(about.rival, device).then(
      (r) => rivals.push(r),
      (error: Error) => (absent["tfjs"] = error.message.split("\n")[0]!),
    );
  const ceilings = await measureCeilings(set);
  console.log(`copies ${ceilings.copyGBps} GB/s, multiplies and adds ${ceilings.fmaGFlops} GFLOP/s`);
  const limits = limitsOf(run.smoke, false);
  const done: Result[] = [];
  const keep = () =>
    save(run.out, step, {
      adapter: { ...device.adapter, toggles: TOGGLES[toggles] },
      date: new Date().toISOString(),
      versions: {
        "tessera-gpu": about.version,
        node: process.versions.node,
        ...Object.fromEntries(rivals.map((r) => [r.name, r.version])),
      },
      rivalFlags: Object.fromEntries(rivals.map((r) => [r.name, r.flags])),
      absent,
      limits,
      ceilings,
      cases: done,
      notRun: cases.slice(done.length).map(({ name }) => name),
    } satisfies Cases);
  for (const c of cases) {
    if (over()) break;
    const m = await measure(c, checked(ours(about.version)), rivals, { limits });
    done.push({ ...m, peakFraction: "error" in m.ours ? null : peakFraction(ceilings, m.flops, m.bytes, m.ours.medianMs) });
    trimPool();
    keep();
    console.log(line(m));
    if (device.lostError) throw device.lostError;
  }
  keep();
  const failed = done.filter((m) => "error" in m.ours).length;
  if (done.length < cases.length) console.log(`time is over: ${cases.length - done.length} of ${cases.length} cases not run`);
  if (failed > 0 || Object.keys(absent).length > 0)
    throw new Error(
      `gpu: expected every case to run, got ${failed} that failed${Object.entries(absent)
        .map(([name, why]) => `; ${name} did not start: ${why}`)
        .join("")}`,
    );
}

async function startRival(url: string, device: Device): Promise<Contender> {
  const navigator = {
    userAgent: `Node.js/${process.versions.node}`,
    hardwareConcurrency: 1,
    get gpu() {
      return nodeGPU();
    },
  };
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true, writable: true });
  const { default: start } = (await import(/* @vite-ignore */ url)) as { readonly default: StartRival };
  return start({ wait: (promise) => device.wait(promise), adapter: device.adapter, base: new URL(".", url).href });
}

export function line(m: Measured): string {
  const { ours: t } = m;
  const rate = m.flops > 0 ? `${m.gflops} GFLOP/s` : `${m.gbps} GB/s`;
  const against = Object.entries(m.rivals).map(
    ([name, r]) => `${name} ${"error" in r ? `failed: ${r.error}` : `${r.medianMs} ms, ratio ${m.ratio[name]}`}`,
  );
  return `${m.name}: ${"error" in t ? `FAILED: ${t.error}` : `${t.medianMs} ms, ${rate}`}${against.length > 0 ? `; ${against.join("; ")}` : ""}`;
}
