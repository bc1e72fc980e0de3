/** The paper's claims against the results, by rule: a comparison agrees if its difference has the paper's sign beyond two standard errors. */
import { claims, type Claim, type Comparison } from "../../train/experiments/claims.ts";
import type { TableName } from "../../train/experiments/experiment.ts";
import type { Scale } from "../../train/experiments/scales.ts";
import type { Agreement } from "./agreement.ts";
import { difference, direction, estimate, within, type Estimate } from "./statistics.ts";
import { figures, type Find } from "./figures.ts";

export type Judgement = "agrees" | "differs" | "not told apart" | "one seed" | "not run";

export interface Compared {
  readonly label: string;
  readonly judgement: Judgement;
  readonly difference: Estimate | null;
  /** Means of both sides, test and training pictures, in percent. */
  readonly test: readonly [number | null, number | null];
  readonly train: readonly [number | null, number | null];
}

export interface Verdict {
  readonly text: string;
  readonly paper: string;
  /** That of all parts, if it is one. */
  readonly judgement: Judgement | "in part";
  readonly parts: readonly Compared[];
  readonly elsewhere: readonly Compared[];
  readonly shown: TableName;
}

/** Points within which figures that the paper finds equal must surely lie. */
const SAME = 1;

export const judgeClaims = (scale: Scale, find: Find): Verdict[] =>
  claims(scale).map((claim) => {
    const parts = claim.parts.map((part) => compared(part, claim.expected, find));
    const known = new Set(parts.map(({ judgement }) => judgement).filter((judgement) => judgement !== "not run"));
    return {
      text: claim.text,
      paper: claim.paper,
      judgement: known.size === 0 ? "not run" : known.size === 1 ? [...known][0]! : "in part",
      parts,
      elsewhere: claim.elsewhere.map((part) => compared(part, claim.expected, find)).filter(({ judgement }) => judgement !== "not run"),
      shown: claim.shown,
    };
  });

function compared({ label, a, b }: Comparison, expected: Claim["expected"], find: Find): Compared {
  const sides = [a, b].map((row) => figures(row, find));
  const apart = difference(sides[0]!, sides[1]!);
  const trained = [a, b].map(
    ({ run }) => estimate(find(run).flatMap((o) => (o.trainTop1 === null ? [] : [100 * o.trainTop1])))?.mean ?? null,
  );
  return {
    label,
    judgement: judge(apart, expected),
    difference: apart,
    test: sides.map((side) => estimate([...side.values()])?.mean ?? null) as unknown as Compared["test"],
    train: trained as unknown as Compared["train"],
  };
}

/** The claim about answers, which are no rows of a table. */
export function nearerVerdict({ nearer }: Agreement): Verdict {
  const judgement = judge(nearer, "better");
  const label = "points fewer on which both heads differ from the CNN than a student without a teacher does";
  return {
    text: "A distilled student answers as its CNN teacher more often than one without",
    paper: "differs from the CNN on 10.2 % against 13.3 % (table 4)",
    judgement,
    parts: [{ label, judgement, difference: nearer, test: [null, null], train: [null, null] }],
    elsewhere: [],
    shown: "distillation",
  };
}

export function judge(apart: Estimate | null, expected: Claim["expected"]): Judgement {
  if (!apart) return "not run";
  const sign = direction(apart);
  if (sign === null) return "one seed";
  if (expected === "same") return within(apart, SAME) ? "agrees" : sign === 0 ? "not told apart" : "differs";
  return sign === 0 ? "not told apart" : sign > 0 ? "agrees" : "differs";
}
