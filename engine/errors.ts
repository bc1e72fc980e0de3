/** The errors that a caller may want to tell apart. Everything else is a plain `Error` with a one-line message. */

/** Whether an error is a plain `Error`, which says what is wrong with an input; others, the runtime's own among them, are about something else. */
export const isPlain = (error: unknown): error is Error => error instanceof Error && error.name === "Error";

/** No adapter, a null adapter, or one that does not meet the options. */
export class AdapterError extends Error {
  override readonly name = "AdapterError";
}

/** WebGPU refused a call: a bug in the code that launches a kernel. */
export class ValidationError extends Error {
  override readonly name = "ValidationError";
}

/** The device has no memory left for a buffer. */
export class OutOfMemoryError extends Error {
  override readonly name = "OutOfMemoryError";
}

/** A tensor or a launch beyond the adapter's limits, known before anything is allocated. Plain by name: the caller can mend it. */
export class TooLargeError extends Error {}

/** The device is gone (driver reset, tab in the background, `destroy()`); every tensor on it went with it. */
export class DeviceLostError extends Error {
  override readonly name = "DeviceLostError";
}

/** A recorded plan uses a tensor that was freed or replaced since. */
export class StalePlanError extends Error {
  override readonly name = "StalePlanError";
}

/** WGSL does not compile; `line` and `column` are of the first message, `code` is the whole module. */
export class ShaderError extends Error {
  override readonly name = "ShaderError";
  readonly line: number;
  readonly column: number;
  readonly code: string;

  constructor(kernel: string, messages: readonly GPUCompilationMessage[], code: string) {
    const first = messages[0]!;
    const listing = code
      .split("\n")
      .map((text, i) => `${String(i + 1).padStart(4)} ${text}`)
      .join("\n");
    super(`${kernel}: WGSL ${first.lineNum}:${first.linePos}: ${first.message.trim()}\n${listing}`);
    this.line = first.lineNum;
    this.column = first.linePos;
    this.code = code;
  }
}
