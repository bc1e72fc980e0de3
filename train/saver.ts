/** Decides when a run saves its checkpoint, and saves it. */
import { saveCheckpoint } from "./checkpoint.ts";
import type { RunIdentity } from "./identity.ts";
import type { TrainOptions } from "./options.ts";
import type { Run } from "./run.ts";

export class Saver {
  readonly #o: TrainOptions;
  readonly #run: Run;
  readonly #identity: RunIdentity;
  #savedMs = performance.now();

  constructor(o: TrainOptions, run: Run, identity: RunIdentity) {
    this.#o = o;
    this.#run = run;
    this.#identity = identity;
  }

  /** Whether a checkpoint is due after this update. */
  get due(): boolean {
    const { saveEvery, saveSeconds = Infinity } = this.#o;
    const counted = saveEvery !== undefined && this.#run.position.step % saveEvery === 0;
    return counted || performance.now() - this.#savedMs > 1000 * saveSeconds;
  }

  /** Saves the run's current state. Read the updates' numbers before. */
  async save(): Promise<void> {
    const { train, normalization, teacher, answers, onCheckpoint } = this.#o;
    const by = teacher?.model.name ?? answers?.name;
    const about = { classes: train.classes, ...normalization, ...(by === undefined ? {} : { teacher: by }) };
    const { position } = this.#run;
    if (onCheckpoint) await onCheckpoint(await saveCheckpoint(this.#run, this.#identity, position, about), position);
    this.#savedMs = performance.now();
  }
}
