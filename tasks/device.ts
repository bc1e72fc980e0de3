/** Opens a device, also right after one was lost. */
import { initDevice, type Device } from "../engine/device.ts";
import { AdapterError } from "../engine/errors.ts";
import { useRaces } from "../kernels/gemm/race.ts";
import { indexedDb } from "./stores.ts";

const TRIES = 20;
const PAUSE_MS = 250;

/** Whether shapes are raced on devices; undefined: on GPUs, where what is found can be kept. */
let races: boolean | undefined;
const asked = new WeakSet<Device>();

/** Turns races of kernels (kernels/gemm/race.ts) on or off for devices that are opened from now on. */
export const setRaces = (on: boolean | undefined): void => void (races = on);

/**
 * `initDevice()`, with races. What they find is kept in a page's IndexedDB, for the browser's version. Where nothing can be kept, another
 * process could choose other tiles, and a run that it goes on with would end in other bits.
 */
export async function openDevice(): Promise<Device> {
  const device = await initDevice();
  const store = globalThis.indexedDB ? indexedDb("races") : undefined;
  if (!(races ?? store) || asked.has(device)) return device;
  asked.add(device);
  await useRaces({ store, driver: globalThis.navigator?.userAgent, software: races });
  return device;
}

/** `openDevice()`; after a loss a browser may need a moment before it has an adapter again. */
export async function reopenDevice(): Promise<Device> {
  for (let tries = 1; ; tries++) {
    try {
      return await openDevice();
    } catch (error) {
      if (!(error instanceof AdapterError) || tries === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
