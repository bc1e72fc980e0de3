/** The steps that tell whether anything else counts: what the adapter is, and every test of the case list on it. */
import { lacking, listCases } from "../../test/all-cases.ts";
import doctorJob from "../../jobs/doctor.ts";
import { nodeHost } from "../../cli/node/host.ts";
import { closeDevice } from "../../engine/device.ts";
import { open, save, stopwatch, type Run, type Toggles } from "./step.ts";

export interface Tests {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** The step's time was over before. */
  readonly notRun: number;
  readonly failures: readonly { readonly name: string; readonly error: string }[];
  /** Reasons, and how many cases each. */
  readonly lacks: Readonly<Record<string, number>>;
}

/** Device, limits, features, and what experimental features would add. */
export async function doctor(run: Run, toggles: Toggles): Promise<void> {
  await open(toggles, run);
  const { device } = await doctorJob(nodeHost(), { suites: [] });
  console.log(JSON.stringify(device, null, 1));
  save(run.out, toggles === "safe" ? "doctor" : `doctor-${toggles}`, { device });
  closeDevice();
}

/** With shader-f16, where the adapter can have it. Nothing of it is timed, so no table of the tuner's matters. */
export async function tests(run: Run): Promise<void> {
  const device = await open("f16", run);
  const over = stopwatch(run.seconds);
  const files = await listCases();
  const all = files.flatMap(({ file, cases }) => cases.map((one) => ({ name: `${file.replace(/^.*\/|\.ts$/g, "")}: ${one.name}`, one })));
  const some = run.smoke ? all.filter((_, i) => i % 40 === 0) : all;
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const failures: Tests["failures"][number][] = [];
  const lacks: Record<string, number> = {};
  const keep = () =>
    save(run.out, "tests", {
      adapter: device.adapter,
      ...counts,
      notRun: some.length - counts.passed - counts.failed - counts.skipped,
      failures,
      lacks,
    });
  for (const { name, one } of some) {
    if (over() || device.lostError) break;
    const lacksWhat = lacking(one, device.adapter.features);
    if (lacksWhat) {
      counts.skipped++;
      lacks[lacksWhat] = (lacks[lacksWhat] ?? 0) + 1;
      continue;
    }
    try {
      await one.run();
      counts.passed++;
    } catch (error) {
      counts.failed++;
      failures.push({ name, error: (error as Error).message.split("\n").slice(0, 3).join(" | ") });
      console.log(`FAILED ${name}: ${(error as Error).message}`);
    }
    keep();
  }
  keep();
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped of ${some.length}`);
  if (device.lostError) throw device.lostError;
  if (counts.failed > 0) throw new Error(`gpu: expected every test to pass, got ${counts.failed} that failed`);
}
