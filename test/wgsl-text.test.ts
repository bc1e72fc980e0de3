/**
 * The WGSL of every hot kernel and of whole models' steps, by hash: a change of the house must not change a shader's text.
 * After a change that is meant: `npx vitest run test/wgsl-text.test.ts -u`, and look at which kernels changed.
 * The text depends on the adapter's limits and features; it was recorded on llvmpipe with subgroups of 8 and shader-f16.
 */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { getDevice } from "../engine/device.ts";
import { hotKernels } from "./generated-code/hot-kernels.ts";
import { recordedModels } from "./generated-code/models-wgsl.ts";

const { adapter, features, gpu } = getDevice();
const recordedHere =
  /llvmpipe/.test(adapter.architecture + adapter.description) && features.has("shader-f16") && gpu.adapterInfo.subgroupMaxSize === 8;

const why = recordedHere ? "" : " (skipped: recorded on llvmpipe with shader-f16 and subgroups of 8)";

const hash = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16);

test.skipIf(!recordedHere)(`WGSL of the hot kernels is as recorded${why}`, async () => {
  const kernels = hotKernels();
  expect(kernels.length).toBeGreaterThan(100);
  await expect(`${kernels.map(({ name, pipeline }) => `${hash(pipeline.code)} ${name}`).join("\n")}\n`).toMatchFileSnapshot(
    "generated-code/hot-kernels.sha256.txt",
  );
});

test.skipIf(!recordedHere)(`launches and WGSL of whole models are as recorded${why}`, async () => {
  const models = recordedModels();
  const modules = new Map<string, string>();
  for (const { launches } of models) for (const { pipeline } of launches) modules.set(hash(pipeline.code), pipeline.label);
  expect(modules.size).toBeGreaterThan(50);
  const counts = models.map(
    ({ name, launches }) =>
      `${String(launches.length).padStart(4)} launches  ${name}  ${hash(launches.map(({ pipeline, groups }) => `${hash(pipeline.code)} ${groups.join("x")}`).join("\n"))}`,
  );
  const texts = [...modules].map(([text, label]) => `${text} ${label}`).sort();
  await expect(`${[...counts, ...texts].join("\n")}\n`).toMatchFileSnapshot("generated-code/models.sha256.txt");
});
