/**
 * Which of an operation's kernels runs for a shape. An operation asks by name of the shape; `tune` measures the answers on an
 * adapter. Without an answer, the operation decides by itself. The same table gives the same bits.
 */
import { getDevice, type Device } from "../../engine/device.ts";

export interface Tuning {
  /** Where the table is from, for people. */
  readonly source: string;
  /** Names of kernels by question, e.g. "gemm 1x197x192x768 NT". */
  readonly choices: Readonly<Record<string, string>>;
}

const inUse = new WeakMap<Device, Tuning>();

/** Kernels chosen on the current device from now on go by this table, or by none. Plans recorded before keep theirs. */
export function useTuning(tuning: Tuning | null): void {
  if (tuning) inUse.set(getDevice().origin, tuning);
  else inUse.delete(getDevice().origin);
}

/** The table in use, if there is one. */
export const tuningInUse = (): Tuning | null => inUse.get(getDevice().origin) ?? null;

let asked: Set<string> | null = null;

/** The kernel that was measured to be the best for this question on the current device. */
export function chosen(question: string): string | undefined {
  asked?.add(question);
  const choices = inUse.get(getDevice().origin)?.choices;
  return choices && Object.hasOwn(choices, question) ? choices[question] : undefined;
}

/** What `body` asks, each question once. */
export function questionsOf(body: () => void): string[] {
  const found = (asked = new Set());
  try {
    body();
  } finally {
    asked = null;
  }
  return [...found];
}
