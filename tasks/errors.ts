/** Errors that an app can tell apart by class, besides those of engine/errors.ts. Each says what was expected, and what to do if that is not obvious. */

/** A picture that cannot be opened: broken, empty, too large, of an unknown kind, or not found at its URL. */
export class PictureError extends Error {
  override readonly name = "PictureError";
}

/** Weights that cannot be loaded or used as requested: not found at their URL, damaged, of another model, or with labels that do not fit. */
export class WeightsError extends Error {
  override readonly name = "WeightsError";
}

/** Examples that cannot train a classifier: labels that are not in `labels`, a class without a picture, a single class. */
export class ExamplesError extends Error {
  override readonly name = "ExamplesError";
}

/** A store that could not be read or written, for example a full one. `checkpoint` holds the bytes that could not be written: no training is lost. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly checkpoint: Uint8Array | null;

  constructor(message: string, checkpoint: Uint8Array | null = null) {
    super(message);
    this.checkpoint = checkpoint;
  }
}

/** An error's message in one line. */
export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
