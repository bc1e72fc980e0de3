import { isPlain } from "../engine/errors.ts";
import { StateError } from "../models/check-state.ts";
import { remedy } from "./files/remedy.ts";

/** Bad usage or bad input, which the caller can correct: exit code 2; any other error is 1. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/**
 * Runs `body`, which checks or uses the user's input, and turns a plain `Error` from it into a `UsageError`; `path` is the file at fault.
 * Errors with a class of their own pass as they are: out of memory, a lost device, a shader, WebGPU's validation (engine/errors.ts), and
 * the runtime's own (`TypeError` and its like), which are this project's bugs.
 */
export function refusing<T>(body: () => T, path?: string): T {
  try {
    return body();
  } catch (error) {
    if (!isPlain(error)) throw error;
    // The library names its functions and models first (`model: expected …`); a command's own name is put there.
    const text = error.message.replace(/^[\w. -]+: (?=expected )/, "");
    const hint = error instanceof StateError ? remedy(error) : "";
    throw new UsageError(`${text}${hint}${path === undefined ? "" : ` (${path})`}`);
  }
}

/** For `catch` of work on the user's input: a plain `Error` as a `UsageError` of the same text, any other as it is. */
export const asUsage = (error: unknown): unknown => (isPlain(error) ? new UsageError(error.message) : error);

/** An error as plain data, to cross from a page to Node. */
export interface ErrorData {
  readonly name: string;
  readonly message: string;
  readonly stack?: string | undefined;
}

export function errorData(error: unknown): ErrorData {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  return { name: error.name, message: error.message, stack: error.stack };
}

/** The error again, a `UsageError` still one. */
export function toError({ name, message, stack }: ErrorData): Error {
  const error = name === "UsageError" ? new UsageError(message) : Object.assign(new Error(message), { name });
  if (stack) error.stack = stack;
  return error;
}
