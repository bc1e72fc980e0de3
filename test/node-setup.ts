/**
 * Runs before every test file: opens the device that the tests compute on, so that `getDevice()` has one.
 * TESSERA_ICD=lavapipe or swiftshader picks a software adapter; default is what set-up found, a GPU before software.
 * TESSERA_TOGGLES="enable-dawn-features=…" are Dawn's switches, e.g. for features that it withholds.
 * No adapter is a failure, never a skip.
 */
import { openNodeDevice } from "../cli/node/adapter.ts";

try {
  await openNodeDevice(process.env["TESSERA_ICD"], process.env["TESSERA_TOGGLES"]?.split(" ").filter(Boolean));
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error);
  throw new Error(`tests: expected a WebGPU adapter in Node, got none (${reason}). Run: npm run -s tessera -- setup --tests`);
}
