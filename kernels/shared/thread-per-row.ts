import { getDevice } from "../../engine/device.ts";

/** Rows so short that threads of a workgroup would have nothing to add. */
const SHORT = 64;

/**
 * How one thread adds up a row of P elements: so many at a load. Null where a workgroup is to share the row. On a processor none is: what its
 * barriers take is more than a row's sum.
 */
export const threadPerRow = (P: number): { readonly W: 1 | 4 } | null =>
  getDevice().adapter.software ? { W: P % 4 === 0 ? 4 : 1 } : P <= SHORT ? { W: 1 } : null;
