/**
 * Run by Deno, whose WebGPU is wgpu: another implementation than Dawn, with another compiler (naga). Every self-test of `doctor`; a line of
 * JSON for each, and one for the adapter. Arguments: only self-tests whose names contain the first.
 */
import { adapterName, initDevice } from "../../../engine/device.ts";
import { runSelfTests, selfTests } from "../../../checks/doctor.ts";

const [only = ""] = (globalThis as unknown as { Deno: { args: string[] } }).Deno.args;
const device = await initDevice();
console.log(JSON.stringify({ adapter: adapterName(device.adapter), features: device.adapter.features }));
await runSelfTests(
  selfTests().filter(({ test }) => test.name.includes(only)),
  (result) => console.log(JSON.stringify(result)),
);
