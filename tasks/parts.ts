/** The parts of an app's model, and the input and result of tuning it. */
import type { HeadChoice } from "../models/heads.ts";
import type { Preprocessing } from "../models/images/protocols.ts";
import type { StoredType } from "../models/mixed-precision.ts";
import type { Model } from "../models/model.ts";
import type { State } from "../models/params.ts";
import type { TuneEpoch } from "./api.ts";
import type { Split } from "./examples.ts";

/** A complete model on the CPU, from which it can be uploaded to a device again. */
export interface Parts {
  readonly model: Model;
  readonly state: State;
  /** Empty without a head. */
  readonly labels: readonly string[];
  readonly steps: Preprocessing;
  readonly head: HeadChoice;
  readonly dtype: StoredType;
}

/** Input of both ways of tuning. */
export interface Task {
  /** The initial model with the new classes; its head is re-initialised unless the classes are the old ones. */
  readonly parts: Parts;
  readonly split: Split;
  readonly seed: number;
  /** The state of an unfinished run. */
  readonly kept: Uint8Array | null;
  readonly keep: (bytes: Uint8Array) => Promise<void>;
}

export interface Outcome {
  readonly state: State;
  readonly finished: boolean;
  readonly epochs: readonly TuneEpoch[];
}
