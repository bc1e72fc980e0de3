/** A rival for tests: ours again, with an engine and a device of its own. */
import type { StartRival } from "../../bench/contender.ts";
import { ours } from "../../bench/ours.ts";
import { initDevice } from "../../engine/device.ts";

const start: StartRival = async () => {
  await initDevice();
  return { ...ours("1.0"), name: "twin", flags: { of: "ours" } };
};
export default start;
