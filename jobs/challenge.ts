/** `op --challenge`: an entry judged, or a result file's entry judged again as it was then. */
import { challengeNamed } from "../checks/challenges.ts";
import { adapterName } from "../engine/adapter.ts";
import { refusing, UsageError } from "./errors.ts";
import type { Host } from "./host.ts";
import { newSeed } from "./lab/challenges/drawn.ts";
import { hashOf, judge } from "./lab/challenges/judge.ts";
import { challengeFile, type Judgement } from "./lab/challenges/result-file.ts";

export type ChallengeArgs =
  /** `file`: a path of the host's; null: the shipped kernels themselves. `seed`: drawn unless given. */
  | { readonly challenge: string; readonly file: string | null; readonly seed?: number | undefined }
  /** A result file. */
  | { readonly again: string };

export interface ChallengeResult extends Judgement {
  /** Of the file that was judged again: what it says, and where it was measured. */
  readonly before?: Pick<Judgement, "score" | "scoreRange"> & { readonly adapter: string };
}

export default async function challengeJob(host: Host, args: ChallengeArgs): Promise<ChallengeResult> {
  const read = async (path: string) => new TextDecoder().decode(await host.readFile(path));
  const run = (name: string, entry: string | null, seed: number) =>
    judge(name, entry, { seed, tell: (note, done, total) => host.progress({ label: name, done, total, note }) });
  if (!("again" in args)) {
    refusing(() => challengeNamed(args.challenge));
    return run(args.challenge, args.file === null ? null : await read(args.file), args.seed ?? newSeed());
  }
  const content = await read(args.again);
  const { challenge, entry, hash, seed, score, scoreRange, adapter } = refusing(() => challengeFile(content), args.again);
  if ((await hashOf(entry ?? "")) !== hash)
    throw new UsageError(`expected the entry that was judged, got a text with another hash (${args.again})`);
  return { ...(await run(challenge, entry, seed)), before: { score, scoreRange, adapter: adapter.description || adapterName(adapter) } };
}
