/**
 * Tuning table: the kernel to run for each operation and shape. An operation asks by its name and shape; `tune` measures the answers on an
 * adapter. Without an answer, the operation has a default. The same table gives the same bits.
 */
import { getDevice, type Device } from "../../engine/device.ts";

export interface Tuning {
  /** Where the table was measured, as text. */
  readonly source: string;
  /** Names of kernels by question, e.g. "gemm 1x197x192x768 NT". */
  readonly choices: Readonly<Record<string, string>>;
}

const inUse = new WeakMap<Device, Tuning>();

/** Uses this table, or none, for the current device from now on. Plans recorded before keep their kernels. */
export function useTuning(tuning: Tuning | null): void {
  if (tuning) inUse.set(getDevice().origin, tuning);
  else inUse.delete(getDevice().origin);
}

/** The table in use, if there is one. */
export const tuningInUse = (): Tuning | null => inUse.get(getDevice().origin) ?? null;

let asked: Set<string> | null = null;

const listeners = new WeakMap<Device, (question: string) => void>();

/** Has `listen` called with each question on the current device that the table in use does not answer. */
export const onUnanswered = (listen: (question: string) => void): void => void listeners.set(getDevice(), listen);

/** The kernel that the table in use names for this question. */
export function chosen(question: string): string | undefined {
  asked?.add(question);
  const choices = inUse.get(getDevice().origin)?.choices;
  if (choices && Object.hasOwn(choices, question)) return choices[question];
  listeners.get(getDevice())?.(question);
  return undefined;
}

/** The questions that `body` asks, each once. */
export function questionsOf(body: () => void): string[] {
  const found = (asked = new Set());
  try {
    body();
  } finally {
    asked = null;
  }
  return [...found];
}
