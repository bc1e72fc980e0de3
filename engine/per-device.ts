/** What is kept for each device. */
import type { Device } from "./device.ts";

/** Gives what `make` made for a device: made when it is first asked for, dropped with the device. */
/* @__NO_SIDE_EFFECTS__ */
export function perDevice<T>(make: () => T): (device: Device) => T {
  const kept = new WeakMap<Device, T>();
  return (device) => {
    let own = kept.get(device);
    if (!own) kept.set(device, (own = make()));
    return own;
  };
}
