/** Which Vulkan driver Dawn opens in Node. Call this before the first use of npm `webgpu`: a process chooses its drivers once. */
import { tmpdir } from "node:os";
import { initNodeDevice } from "../../tasks/node.ts";
import type { Device } from "../../engine/device.ts";
import { UsageError } from "../../jobs/errors.ts";
import { knownSetup, RUN_SETUP } from "./find.ts";

/**
 * The device in Node. `name`: "lavapipe" and "swiftshader" pick that driver, anything else must be part of the
 * adapter's name. Without it: what set-up found, a GPU before software. `toggles`: Dawn's own.
 */
export async function openNodeDevice(name?: string, toggles: readonly string[] = []): Promise<Device> {
  const { node, lavapipeIcd, swiftshaderIcd } = await knownSetup();
  const lower = name?.toLowerCase() ?? "";
  const lavapipe = lower !== "" && ("lavapipe".includes(lower) || "llvmpipe".includes(lower));
  const swiftshader = lower !== "" && "swiftshader".includes(lower);
  if (lavapipe && !lavapipeIcd) throw new UsageError(`expected Mesa's lavapipe for adapter "${name}", got none; ${RUN_SETUP}`);
  if (swiftshader && !swiftshaderIcd)
    throw new UsageError(`expected a Chromium's SwiftShader for adapter "${name}", got none; ${RUN_SETUP}`);
  if (!node && !name) throw new Error(`expected a WebGPU adapter in Node, got none; ${RUN_SETUP}`);
  // A name that is not a driver's is searched among the system's own adapters.
  const icd = lavapipe ? lavapipeIcd : swiftshader ? swiftshaderIcd : name ? null : node!.icd;
  if (icd) {
    process.env["VK_ICD_FILENAMES"] = icd;
    delete process.env["VK_DRIVER_FILES"]; // it would win
  }
  process.env["XDG_RUNTIME_DIR"] ??= tmpdir();
  const held = lavapipe ? "llvmpipe" : name;
  return initNodeDevice({ toggles, request: { powerPreference: "high-performance" }, ...(held ? { adapter: held } : {}) });
}
