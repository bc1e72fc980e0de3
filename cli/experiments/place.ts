/** Where a scale's runs, sets and weights are, and which trained teachers are chosen. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Run, SetName, Source } from "../../train/experiments/experiment.ts";
import type { Scale } from "../../train/experiments/scales.ts";
import { best, candidates, equalPair, type Judged } from "../../train/experiments/teachers.ts";
import { setFolder } from "./data.ts";
import { identityOf, type Identity, type Inputs } from "./identity.ts";
import { outcomeIn, resultFile, runFolder, type Outcome } from "./outcome.ts";

export class Place implements Inputs {
  readonly scale: Scale;
  /** Folder of the scale's runs and results. */
  readonly out: string;
  /** The teacher that is given. */
  readonly cnn: string;
  /** A DeiT of the full set that is given. */
  readonly deit: string | null;
  readonly #sets: string;

  /** `root`: the folder of all scales. */
  constructor(scale: Scale, root: string, weights: { readonly cnn: string; readonly deit: string | null }) {
    this.scale = scale;
    this.out = join(root, scale.name);
    this.#sets = root;
    this.cnn = weights.cnn;
    this.deit = weights.deit;
  }

  readonly folder = (set: SetName): string => setFolder(this.#sets, set);

  readonly weights = (source: Source): string | null => {
    if (source === "cnn") return this.cnn;
    if (source === "best-deit" && this.deit !== null) return this.deit;
    const chosen = this.chosen();
    const id = { "equal-cnn": chosen.equal?.cnn.id, "equal-deit": chosen.equal?.deit.id, "best-deit": chosen.best?.id }[source];
    const path = id === undefined ? null : join(runFolder(this.out, id, 0), "model.safetensors");
    return path !== null && existsSync(path) ? path : null;
  };

  /** The teachers that the finished candidates lead to; `null` until all that a choice is between are trained. */
  chosen(): { readonly equal: { readonly cnn: Judged; readonly deit: Judged } | null; readonly best: Judged | null } {
    const { cnn, deit } = candidates(this.scale);
    const judged = (runs: readonly Run[]): Judged[] | null => {
      const found = runs.map((run) => ({ id: run.id, outcome: this.outcome(run, 0) }));
      return found.every(({ outcome }) => outcome) ? found.map(({ id, outcome }) => ({ id, top1: 100 * outcome!.top1.model })) : null;
    };
    const [cnns, deits] = [judged(cnn), judged(deit)];
    return { equal: cnns && deits && equalPair(cnns, deits), best: deits && best(deits) };
  }

  identity(run: Run, seed: number): Identity | null {
    return identityOf(run, seed, this);
  }

  /** The kept result of this run as it would be today; `null` for none. */
  outcome(run: Run, seed: number): Outcome | null {
    const folder = runFolder(this.out, run.id, seed);
    if (!existsSync(resultFile(folder))) return null;
    const identity = this.identity(run, seed);
    return identity && outcomeIn(folder, identity);
  }

  /** All kept results of a run, by seed. */
  outcomes(run: Run): Outcome[] {
    return Array.from({ length: MOST_SEEDS }, (_, seed) => this.outcome(run, seed)).filter((o) => o !== null);
  }
}

const MOST_SEEDS = 20;
