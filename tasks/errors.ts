/** Errors that an app may want to tell apart, besides those of engine/errors.ts. Each says what was expected, and what to do where that is not plain. */

/** A picture that cannot be opened: broken, empty, too large, of a kind that is not known, or a URL without one. */
export class PictureError extends Error {
  override readonly name = "PictureError";
}

/** Weights that cannot be loaded or used as asked: a URL without them, a damaged file, another model's, labels that do not fit. */
export class WeightsError extends Error {
  override readonly name = "WeightsError";
}

/** Examples that teach nothing: labels that are not in `labels`, a class without a picture, a single class. */
export class ExamplesError extends Error {
  override readonly name = "ExamplesError";
}

/** A store that could not be read or written, for example a full one. `checkpoint` is what it was to hold: nothing trained is lost. */
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
