/**
 * Tuning tables that ship, measured by `tune` on common adapters: the kernel for each shape for which one was clearly faster than the
 * default.
 * None so far.
 */
import { adapterName, type AdapterDescription } from "../../engine/device.ts";
import type { Tuning } from "./tuning.ts";

const KNOWN: readonly { readonly name: string; readonly adapter: RegExp; readonly choices: Readonly<Record<string, string>> }[] = [];

/** The shipped table for an adapter, or null. */
export function knownTuning(adapter: AdapterDescription): Tuning | null {
  const name = adapterName(adapter);
  const known = KNOWN.find((k) => k.adapter.test(name));
  return known ? { source: `the table that ships for ${known.name}`, choices: known.choices } : null;
}
