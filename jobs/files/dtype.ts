/** `--dtype` and `--teacher-dtype`: how tensors are stored on the GPU. */
import { adapterName, getDevice } from "../../engine/device.ts";
import type { StoredType } from "../../models/mixed-precision.ts";
import { UsageError } from "../errors.ts";

export type { StoredType };

export function parseDtype(text: string, option = "--dtype"): StoredType {
  if (text !== "f32" && text !== "f16") throw new UsageError(`expected ${option} f32 or f16, got "${text}"`);
  return text;
}

/** Refuses f16 where the adapter has none. */
export function checkDtype(dtype: StoredType): void {
  const { features, adapter } = getDevice();
  if (dtype === "f16" && !features.has("shader-f16"))
    throw new UsageError(`expected an adapter with shader-f16 for f16, got ${adapterName(adapter)} without`);
}
