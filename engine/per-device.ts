/** Values that belong to a device. */
import type { Device } from "./device.ts";

/** Returns a function that gives each device a value of its own: made by `make` on first use, dropped with the device. */
/* @__NO_SIDE_EFFECTS__ */
export function perDevice<T>(make: () => T): (device: Device) => T {
  const kept = new WeakMap<Device, T>();
  return (device) => {
    let own = kept.get(device);
    if (!own) kept.set(device, (own = make()));
    return own;
  };
}
