/** Every case of every kernel, and fine-tuning, on an app's device of the compatibility level with default limits: 128 threads to a workgroup. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openNodeDevice } from "../../cli/node/adapter.ts";
import { closeDevice, getDevice, initDevice } from "../../engine/device.ts";
import { nodeGPU } from "../../tasks/node.ts";
import { loadModel } from "../../tasks/load-model.ts";
import { lacking, listCases } from "../all-cases.ts";
import { coloredExamples, tinyFile } from "../tasks/pictures.ts";

let app: GPUDevice;
beforeAll(async () => {
  closeDevice();
  const adapter = await nodeGPU().requestAdapter({ featureLevel: "compatibility" });
  app = await adapter!.requestDevice();
  await initDevice({ device: app });
});
afterAll(async () => {
  closeDevice();
  app.destroy();
  await openNodeDevice(process.env["TESSERA_ICD"]);
});

test("the device is a small one", () => {
  const { limits, features } = getDevice();
  expect(limits.maxComputeInvocationsPerWorkgroup).toBe(128);
  expect([...features]).toEqual([]);
});

test.each(["head", "lora", "all"] as const)("fineTune, %s", async (train) => {
  const base = await loadModel(tinyFile());
  const { finished, model } = await base.fineTune(coloredExamples(4), { train, epochs: 2, augment: train === "all" ? "deit" : "light" });
  expect(finished).toBe(true);
  for (const m of [base, model]) m.dispose();
});

/** What a case is told that asks by name for a kernel that the device cannot have. Kernels that are chosen for the device never are. */
const TOO_LARGE =
  /expected a device that allows workgroups of \d+ (threads|bytes)|expected a variant for rows of \d+ .*got (team|barrier)256|expected an adapter with subgroups for a subgroup tile/;
const BY_NAME = /256|shared-1|variants agree|a team far larger/;

for (const { file, cases } of await listCases())
  describe(file, () => {
    for (const one of cases)
      test.skipIf(lacking(one, []) !== "")(one.name, async () => {
        const error = await Promise.resolve(one.run()).then(
          () => null,
          (e: unknown) => e as Error,
        );
        if (error && !(TOO_LARGE.test(error.message) && BY_NAME.test(one.name))) throw error;
      });
  });
