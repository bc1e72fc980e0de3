/** What a model of an app is made of, and what tuning it takes and gives. */
import type { HeadChoice } from "../models/heads.ts";
import type { Preprocessing } from "../models/images/protocols.ts";
import type { StoredType } from "../models/mixed-precision.ts";
import type { Model } from "../models/model.ts";
import type { State } from "../models/params.ts";
import type { TuneEpoch } from "./api.ts";
import type { Split } from "./examples.ts";

/** All that a model is, on the CPU: enough to put it on a device again. */
export interface Parts {
  readonly model: Model;
  readonly state: State;
  /** Empty without a head. */
  readonly labels: readonly string[];
  readonly steps: Preprocessing;
  readonly head: HeadChoice;
  readonly dtype: StoredType;
}

/** What both ways of tuning are given. */
export interface Task {
  /** The model to begin with: of the new classes, its head begun anew unless the classes are the old ones. */
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
