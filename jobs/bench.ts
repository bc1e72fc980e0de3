/** `bench`: times this engine's kernels and models and other libraries' on the current adapter, in this process or page. */
import { NoCaseError, session, type BenchArgs, type BenchResult } from "../bench/session.ts";
import { UsageError } from "./errors.ts";
import type { Host } from "./host.ts";

export default async function benchJob(host: Host, args: BenchArgs): Promise<BenchResult> {
  try {
    return await session(args, host);
  } catch (error) {
    throw error instanceof NoCaseError ? new UsageError(error.message) : error;
  }
}
