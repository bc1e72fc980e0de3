/** A lost device: a typed error wherever it is used, never zeros; and a new one after it. */
import { expect, test } from "vitest";
import { openNodeDevice } from "../../cli/node/adapter.ts";
import { getDevice } from "../../engine/device.ts";
import { DeviceLostError } from "../../engine/errors.ts";
import { record } from "../../engine/plan.ts";
import { Tensor } from "../../engine/tensor.ts";
import { relu } from "../../kernels/elementwise.ts";

test("reads, launches and plans of a lost device say so; a new device works, and refuses the old one's tensors", async () => {
  const x = Tensor.from([1, -2, 3], [3]);
  const plan = await record(() => relu(x));
  plan.run();
  expect([...(await plan.result.floats())]).toEqual([1, 0, 3]);

  const lost = getDevice();
  lost.gpu.destroy();
  await lost.gpu.lost;
  await expect(x.read()).rejects.toThrow(DeviceLostError);
  expect(() => relu(x)).toThrow(DeviceLostError);
  expect(() => plan.run()).toThrow(DeviceLostError);
  expect(() => Tensor.from([1], [1])).toThrow(DeviceLostError);

  const device = await openNodeDevice(process.env["TESSERA_ICD"]);
  expect(device).not.toBe(lost);
  expect([...(await relu(Tensor.from([-1, 5], [2])).floats())]).toEqual([0, 5]);
  await expect(x.read()).rejects.toThrow(/a device that is gone/);
  expect(() => plan.run()).toThrow(DeviceLostError);
});
