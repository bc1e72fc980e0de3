/**
 * Which of an operation's kernels runs for a shape. Kernels ask when they are chosen; `tune` measures the answers on an
 * adapter. Where there is no answer, kernels decide by themselves. A table never changes under a device that has one in
 * use, so the same table gives the same bits.
 */
import { getDevice, type Device } from "./device.ts";

export interface Tuning {
  /** Where the table is from, for people. */
  readonly source: string;
  /** Names of kernels by question, e.g. "gemm 1x197x192x768 NT". */
  readonly choices: Readonly<Record<string, string>>;
}

const inUse = new WeakMap<Device, Tuning>();

/** Kernels chosen on `device` from now on go by this table. Plans recorded before keep theirs. */
export function useTuning(device: Device, tuning: Tuning): void {
  inUse.set(device, tuning);
}

/** The table in use, if there is one. */
export const tuningOf = (device: Device): Tuning | null => inUse.get(device) ?? null;

let asked: Set<string> | null = null;

/** The kernel that was measured to be the best for this question on the current device. */
export function chosen(question: string): string | undefined {
  asked?.add(question);
  const choices = inUse.get(getDevice())?.choices;
  return choices && Object.hasOwn(choices, question) ? choices[question] : undefined;
}

/** What `body` asks, each question once. */
export async function questionsOf(body: () => unknown): Promise<string[]> {
  const found = (asked = new Set());
  try {
    await body();
  } finally {
    asked = null;
  }
  return [...found];
}
