/** The record in a checkpoint: the run's identity and position. */
import * as z from "zod/mini";
import { ResumeError, type RunIdentity } from "./identity.ts";
import { shownValue } from "../models/shown.ts";
import { schemaFault } from "../models/schema-fault.ts";
import type { Position } from "./position.ts";

/** Metadata for other tools; not needed to resume. */
export interface About {
  readonly classes: readonly string[];
  /** Per channel, of inputs in [0, 1]. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** The teacher's model by name. */
  readonly teacher?: string;
}

export interface Meta extends Position, Omit<RunIdentity, "origin" | "recipe"> {
  readonly format: "tessera-checkpoint";
  readonly version: number;
  readonly recipe: Readonly<Record<string, unknown>>;
  /** Digests of the data and the teacher. Missing in version 1. */
  readonly origin?: RunIdentity["origin"];
  readonly about: About;
  /** Digest of the tensors and all fields above. Missing in version 1. */
  readonly sha256?: string;
}

const count = z.int().check(z.minimum(0));
const record = z.record(z.string(), z.unknown());

const schema = z.looseObject({
  epoch: count,
  stepInEpoch: count,
  step: count,
  seed: count,
  recipe: record,
  model: record,
  origin: z.optional(record),
  sha256: z.optional(z.string()),
});

/** Throws a `ResumeError` for anything but a record of a run that this version can read. */
export function readMeta(metadata: Readonly<Record<string, string>>): Meta {
  const text = metadata["tessera"];
  if (text === undefined)
    throw new ResumeError("expected a checkpoint of a run, got a file without its record (weights alone cannot be resumed)");
  const meta = parseJson(text) as Meta | null;
  if (meta?.format !== "tessera-checkpoint" || (meta.version !== 1 && meta.version !== 2))
    throw new ResumeError(`expected checkpoint version 1 or 2, got ${shownValue(meta?.format)} ${shownValue(meta?.version)}`);
  const checked = schema.safeParse(meta);
  if (!checked.success) throw new ResumeError(`record of the run: ${schemaFault(checked.error, meta, "record")}`);
  return meta;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new ResumeError(`expected a record of a run in JSON, got ${JSON.stringify(text.slice(0, 40))}`);
  }
}
