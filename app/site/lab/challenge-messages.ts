/** What the challenges of the lab's page and their worker say to each other. */
import type { Judgement } from "../../../jobs/lab/challenges/result-file.ts";

/** A challenge as the page shows it. */
export interface Shown {
  readonly name: string;
  readonly title: string;
  readonly op: string;
  readonly formula: string;
  readonly hint: string;
  readonly start: string;
}

/** `ask` counts what is asked for; answers carry it. */
export interface ToJudge {
  readonly ask: number;
  readonly name: string;
  readonly code: string;
}

/** As `op --challenge --json` writes it. */
export type PageResult = Judgement & { readonly where: "page"; readonly adapter: Readonly<Record<string, unknown>>; readonly date: string };

export type FromJudge =
  | { readonly kind: "ready"; readonly adapter: string; readonly challenges: readonly Shown[] }
  | { readonly kind: "step"; readonly ask: number; readonly what: string; readonly done: number; readonly of: number }
  | { readonly kind: "judged"; readonly ask: number; readonly result: PageResult }
  /** `ask` 0: there is no GPU. */
  | { readonly kind: "failed"; readonly ask: number; readonly message: string };
