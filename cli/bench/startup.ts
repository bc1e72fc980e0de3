/** `bench --suite first` and `--suite size`: the time to the first result and the bytes to download. */
import { nodeHost } from "../node/host.ts";
import { print } from "../output.ts";
import { writeJson } from "../run-job.ts";
import { commit, say, type BenchOptions } from "./prepare.ts";

export async function benchStartup(options: BenchOptions): Promise<void> {
  const { firstRuns } = await import("./first.ts");
  const { bundleSizes } = await import("../../bench/bundle-size.ts");
  const { installRivals } = await import("../../bench/rivals.ts");
  if (options.suite === "size" || options.against !== "none") await installRivals(say);
  const result =
    options.suite === "size"
      ? { suite: "size", commit: await commit(), date: new Date().toISOString(), bundle: await bundleSizes() }
      : await firstRuns(options);
  if (options.json) await writeJson(nodeHost(), options.json, result);
  print(`${JSON.stringify(result, null, 2)}\n`);
}
