/** `op --challenges`, `op --challenge NAME`, `op --again FILE`: lists, prints a start, judges an entry. */
import { sizesText } from "../checks/challenge.ts";
import type { ChallengeArgs, ChallengeResult } from "../jobs/challenge.ts";
import { refusing, UsageError } from "../jobs/errors.ts";
import { flagsOf, isApart, LIMIT, runApart, signing } from "./node/apart.ts";
import { print } from "./output.ts";
import { runJob, type CommonOptions } from "./run-job.ts";

export interface ChallengeOptions extends CommonOptions {
  readonly challenges?: boolean | undefined;
  readonly challenge?: string | undefined;
  readonly file?: string | undefined;
  readonly shipped?: boolean | undefined;
  readonly again?: string | undefined;
  readonly atLeast?: number | undefined;
}

/** `op`: an operation's name; the challenge must be one of its own. */
export async function challenge(op: string | undefined, options: ChallengeOptions): Promise<void> {
  const { challengeNamed, challenges } = await import("../checks/challenges.ts");
  if (options.challenges) {
    const own = Object.entries(challenges).filter(([, c]) => op === undefined || c.op === op);
    if (own.length === 0)
      throw new UsageError(`expected one of ${[...new Set(Object.values(challenges).map((c) => c.op))].join(", ")}, got "${op}"`);
    print(own.map(([name, c]) => `${name}: ${c.title} (${c.op})\n  ${c.formula}\n`).join(""));
    return;
  }
  const { challenge: name, file, shipped, again } = options;
  if (name !== undefined) {
    const found = refusing(() => challengeNamed(name));
    if (op !== undefined && op !== found.op) throw new UsageError(`expected ${found.op} for the challenge ${name}, got "${op}"`);
    if (file !== undefined && shipped) throw new UsageError("expected --file or --shipped, got both");
    if (file === undefined && !shipped) return print(found.start);
  }
  if (again !== undefined && (op !== undefined || options.seed !== undefined))
    throw new UsageError(
      `expected --again alone, which has the challenge and the seed of its file, got ${op ?? `--seed ${options.seed}`} too`,
    );
  if (isApart())
    return judge(name === undefined ? { again: again! } : { challenge: name, file: file ?? null, seed: options.seed }, options);
  const { seed, atLeast, json, where, adapter, debug, gpuTimeout = LIMIT } = options;
  return runApart(
    ["op", ...flagsOf({ challenge: name, file, shipped, again, seed, atLeast, json, where, adapter, gpuTimeout, debug })],
    gpuTimeout,
  );
}

async function judge(args: ChallengeArgs, options: ChallengeOptions): Promise<void> {
  const { gpuTimeout = LIMIT, atLeast } = options;
  const result = await signing(runJob<ChallengeResult>("challenge", args, options), gpuTimeout);
  for (const line of lines(result)) print(`${line}\n`);
  const { refused, score, scoreRange } = result;
  if (refused) throw new Error(`expected an entry that is right, got one that is refused: ${refused.kind}`);
  if (atLeast !== undefined && scoreRange![1] < atLeast)
    throw new Error(`expected a score of at least ${atLeast}, got ${score} (${scoreRange!.join(" to ")})`);
}

function lines({ challenge: name, seed, checks, refused, times, score, scoreRange, verdict, before }: ChallengeResult): string[] {
  return [
    ...checks.map(({ sizes, hidden, stretched, reversed, fault }) => {
      const what = `${sizesText(sizes)}${hidden ? ", drawn" : ", published"}${stretched ? ", large values" : ""}${reversed ? ", other order of threads" : ""}`;
      return fault ? `WRONG ${what}: ${fault.why}` : `right at ${what}`;
    }),
    ...times.map(
      (t) => `${sizesText(t.sizes)}: ${t.ms} ms, shipped ${t.shippedMs} ms: ${t.ratio} (${t.ratioRange.join(" to ")}, ${t.pairs} pairs)`,
    ),
    refused
      ? `refused, ${refused.kind}: ${refused.why}`
      : `score ${score} (${scoreRange!.join(" to ")}): ${verdict === "not told apart" ? "not told apart from the shipped kernel" : `${verdict} than the shipped kernel`}`,
    ...(before
      ? [
          `in the file, on ${before.adapter}: ${before.score === null ? "refused" : `score ${before.score} (${before.scoreRange!.join(" to ")})`}`,
        ]
      : []),
    `seed ${seed}: tessera op --challenge ${name} --seed ${seed} draws the same`,
  ];
}
