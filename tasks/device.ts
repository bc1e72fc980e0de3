/** Opens a device, also right after one was lost. */
import { initDevice, type Device } from "../engine/device.ts";
import { AdapterError } from "../engine/errors.ts";

const TRIES = 20;
const PAUSE_MS = 250;

/** `initDevice()`; after a loss a browser may need a moment before it has an adapter again. */
export async function reopenDevice(): Promise<Device> {
  for (let tries = 1; ; tries++) {
    try {
      return await initDevice();
    } catch (error) {
      if (!(error instanceof AdapterError) || tries === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
