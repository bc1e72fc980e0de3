/** A session that ends early keeps what it has. Ours alone: other contenders have their own tests. */
import { expect, test } from "vitest";
import { session, type BenchArgs } from "../../bench/session.ts";
import { closeDevice, getDevice } from "../../engine/device.ts";
import { openNodeDevice } from "../../cli/node/adapter.ts";

const args: BenchArgs = {
  suite: "kernels",
  quick: true,
  against: {},
  base: "",
  only: "softmax 12x197x197",
  samples: 1,
  version: "1",
  commit: "abc",
};
const quiet = { progress: () => undefined, stopAsked: () => false };
const NAMES = ["softmax 12x197x197", "softmax 12x197x197 fwd+bwd"];

test("asked to stop: the cases before it, and the names of the others", async () => {
  let began: readonly string[] = [],
    done = 0;
  const result = await session(args, {
    ...quiet,
    stopAsked: () => done === 1,
    began: (_, names) => (began = names),
    measured: () => done++,
  });
  expect(began).toEqual(NAMES);
  expect(result.cases.map((c) => c.name)).toEqual(NAMES.slice(0, 1));
  expect(result).toMatchObject({ notRun: NAMES.slice(1), stopped: "stopped on request" });
  expect(result.ceilings.fmaGFlops).toBeGreaterThan(0);
});

test("a lost device: its reason, and what was measured before", async () => {
  const result = await session(args, { ...quiet, measured: () => getDevice().gpu.destroy() });
  // The loss shows where the next case would begin, or in that case.
  expect(result.cases.length).toBeLessThanOrEqual(2);
  expect("error" in result.cases[0]!.ours).toBe(false);
  const last = result.cases.at(-1)!.ours;
  expect(result.stopped ?? ("error" in last && last.error)).toMatch(/device lost \(destroyed\)/);
  closeDevice();
  await openNodeDevice(process.env["TESSERA_ICD"]);
  expect((await session(args, quiet)).notRun).toBeUndefined();
});

test("no case, or none of that name: said so", async () => {
  await expect(session({ ...args, only: "nothing" }, quiet)).rejects.toThrow(
    /expected cases of suite kernels with "nothing" in their name/,
  );
});
