/** `doctor`: a report on the adapter and every kernel's self-test, to paste into a bug report. */
import { release } from "node:os";
import type { Command } from "commander";
import type { Diagnosis, Tested } from "../../checks/doctor.ts";
import type { DoctorArgs } from "../../jobs/doctor.ts";
import { VERSION } from "../place.ts";
import { runJob, type CommonOptions } from "../run-job.ts";
import { print } from "../output.ts";

interface Options extends CommonOptions {
  readonly only?: string;
}

/** The limits that kernels are sized by. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupsPerDimension",
];

export default function (program: Command): void {
  program
    .command("doctor")
    .description("adapter, limits, features, and every kernel's self-test forward and backward; exit 1 if one failed")
    .option("--only <text>", "only self-tests whose names contain this text")
    .action(async (options: Options) => {
      const diagnosis = await runJob<Diagnosis>("doctor", { only: options.only } satisfies DoctorArgs, options);
      print(`${report(diagnosis).join("\n")}\n`);
      const { failed, total } = count(diagnosis.tested);
      if (failed > 0) throw new Error(`expected every self-test to pass, got ${failed} of ${total} that failed`);
      if (total === 0)
        throw new Error(`expected self-tests, got none${options.only === undefined ? "" : ` that contain "${options.only}"`}`);
    });
}

const count = (tested: readonly Tested[]) => {
  const of = (result: Tested["result"]) => tested.filter((t) => t.result === result).length;
  return { passed: of("passed"), failed: of("failed"), skipped: of("skipped"), total: tested.length };
};

function report({ where, device, races, tested, counters }: Diagnosis): string[] {
  const suites = [...new Set(tested.map((t) => t.suite))];
  const { passed, failed, skipped } = count(tested);
  return [
    `tessera ${VERSION} doctor, ${new Date().toISOString()}`,
    `where: ${where}, Node ${process.versions.node}, ${process.platform} ${release()} ${process.arch}`,
    `adapter: ${device.name} (${device.software ? "SOFTWARE, runs on the CPU" : "GPU"})`,
    `features: ${device.features.join(", ") || "none"}`,
    `subgroups of: ${device.subgroups}; subgroup matrices: ${device.subgroupMatrix.join(", ") || "none"}`,
    `races of tiles: ${races}`,
    "limits:",
    ...LIMITS.map((name) => `  ${name} ${device.limits[name] ?? "not reported"}`),
    "self-tests, against f64:",
    ...suites.flatMap((suite) => {
      const own = tested.filter((t) => t.suite === suite);
      const { passed: good, failed: bad, skipped: left } = count(own);
      const seconds = own.reduce((ms, t) => ms + t.timeMs, 0) / 1000;
      const parts = [`${good} passed`, ...(bad > 0 ? [`${bad} FAILED`] : []), ...(left > 0 ? [`${left} skipped`] : [])];
      const details = own
        .filter((t) => t.result !== "passed")
        .map((t) => `    ${t.result === "failed" ? "FAILED" : "skipped"} ${t.name}: ${t.reason}`);
      return [`  ${suite.padEnd(20)} ${parts.join(", ")} (${seconds.toFixed(1)} s)`, ...details];
    }),
    `counters: ${Object.entries(counters)
      .map(([name, value]) => `${name} ${value}`)
      .join(", ")}`,
    `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`,
  ];
}
