/** Values that are made on first use. */
import type { Device } from "./device.ts";

/** The value of `key`; made by `make` where `values` has none yet. */
export function madeOnce<K, V>(values: { get(key: K): V | undefined; set(key: K, value: V): unknown }, key: K, make: () => V): V {
  let value = values.get(key);
  if (value === undefined) values.set(key, (value = make()));
  return value;
}

/** Returns a function that gives each device a value of its own: made by `make` on first use, dropped with the device. */
/* @__NO_SIDE_EFFECTS__ */
export function perDevice<T>(make: (device: Device) => T): (device: Device) => T {
  const kept = new WeakMap<Device, T>();
  return (device) => madeOnce(kept, device, () => make(device));
}
