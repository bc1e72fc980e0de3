/** What a judgement says, as a file that anybody can run again: the entry's text, the seed, the sizes, the times. */
import * as z from "zod/mini";
import type { Letters } from "../../../checks/challenge.ts";
import { schemaFault } from "../../../models/schema-fault.ts";
import type { Compared } from "../time.ts";
import type { Fault } from "./correct.ts";

/** A size that an entry was to be right on. */
export interface Checked {
  readonly sizes: Letters;
  /** Whether the seed chose it. */
  readonly hidden: boolean;
  /** With values that are large or far from zero. */
  readonly stretched?: boolean;
  /** With threads and workgroups in the other order, and workgroup memory that held something. */
  readonly reversed?: boolean;
  readonly fault: Fault | null;
}

export interface Judgement {
  readonly challenge: string;
  readonly op: string;
  /** The text; null for the shipped kernels themselves. */
  readonly entry: string | null;
  /** SHA-256 of the text. */
  readonly hash: string;
  readonly seed: number;
  readonly checks: readonly Checked[];
  readonly refused: Fault | null;
  /** The shipped kernels' time over the entry's: geometric mean over the timed sizes, and of the ends of their 95 % ranges. Null where it is refused. */
  readonly score: number | null;
  readonly scoreRange: readonly [number, number] | null;
  readonly verdict: Compared["verdict"] | null;
  readonly times: readonly (Compared & { readonly sizes: Letters })[];
}

const text = z.string();
const sizes = z.record(text, z.int().check(z.positive()));
const pair = z.tuple([z.number(), z.number()]);
const fault = z.nullable(z.object({ kind: z.enum(["fixed shape", "constants", "work left out", "wrong"]), why: text }));
const verdict = z.enum(["faster", "slower", "not told apart"]);

const schema = z.looseObject({
  ...{ challenge: text, op: text, entry: z.nullable(text), hash: text, seed: z.int() },
  checks: z.array(z.object({ sizes, hidden: z.boolean(), stretched: z.optional(z.boolean()), reversed: z.optional(z.boolean()), fault })),
  refused: fault,
  ...{ score: z.nullable(z.number()), scoreRange: z.nullable(pair), verdict: z.nullable(verdict) },
  times: z.array(
    z.object({ sizes, ms: z.number(), shippedMs: z.number(), ratio: z.number(), ratioRange: pair, verdict, pairs: z.number() }),
  ),
  adapter: z.looseObject({ vendor: text, architecture: text, device: text, description: text, software: z.boolean() }),
});

export type ChallengeFile = Judgement & Pick<z.infer<typeof schema>, "adapter">;

/** Throws, saying what is wrong, where the text is not a challenge's result. */
export function challengeFile(content: string): ChallengeFile {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    throw new Error("expected the JSON of a challenge's result, got another text");
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data as ChallengeFile;
  throw new Error(`expected a result of op --challenge --json, got one with a fault: ${schemaFault(parsed.error, value, "content")}`);
}
