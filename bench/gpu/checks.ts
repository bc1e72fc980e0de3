/** The first steps: the adapter's description, and every kernel's self-test on it. */
import { describeDevice, runSelfTests, selfTests } from "../../checks/doctor.ts";
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
  const device = describeDevice(await open(toggles, run));
  console.log(JSON.stringify(device, null, 1));
  save(run.out, toggles === "safe" ? "doctor" : `doctor-${toggles}`, { device });
  closeDevice();
}

/** With shader-f16, where the adapter can have it. Nothing of it is timed, so no table of the tuner's matters. */
export async function tests(run: Run): Promise<void> {
  const device = await open("f16", run);
  const all = selfTests();
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
  const over = stopwatch(run.seconds);
  await runSelfTests(
    some,
    ({ suite, name, result, reason = "" }) => {
      counts[result]++;
      if (result === "skipped") lacks[reason] = (lacks[reason] ?? 0) + 1;
      if (result === "failed") {
        failures.push({ name: `${suite}: ${name}`, error: reason });
        console.log(`FAILED ${suite}: ${name}: ${reason}`);
      }
      keep();
    },
    () => over() || device.lostError !== null,
  );
  keep();
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped of ${some.length}`);
  if (device.lostError) throw device.lostError;
  if (counts.failed > 0) throw new Error(`gpu: expected every self-test to pass, got ${counts.failed} that failed`);
}
