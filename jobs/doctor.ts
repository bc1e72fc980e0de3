/** `doctor`: the adapter's name, features and limits, and every kernel's self-test on it. */
import { describeDevice, runSelfTests, selfTests, type Diagnosis } from "../checks/doctor.ts";
import { getDevice } from "../engine/device.ts";
import { describeRaces } from "../kernels/gemm/race.ts";
import type { Host } from "./host.ts";

export interface DoctorArgs {
  /** Only self-tests whose name contains this. */
  readonly only?: string | undefined;
}

export default async function doctorJob(host: Host, { only = "" }: DoctorArgs): Promise<Diagnosis> {
  const device = getDevice();
  const tests = selfTests().filter(({ test }) => test.name.includes(only));
  const tested = await runSelfTests(tests, ({ suite }, done) =>
    host.progress({ label: "self-tests", done, total: tests.length, note: suite }),
  );
  return {
    where: typeof document === "undefined" ? "node" : "chromium",
    device: describeDevice(device),
    races: describeRaces(),
    tested,
    counters: { ...device.stats },
  };
}
