/** Weights that commands read: a file or a URL, one file or the index of several. */
import { readWeightFiles } from "../../models/checkpoints/sharded.ts";
import { weightsOf, type Weights } from "../../models/checkpoints/weights.ts";
import type { AnyWeights, ReadOptions } from "../../models/checkpoints/formats.ts";
import { refusing, UsageError } from "../errors.ts";
import type { Host } from "../host.ts";

/** With timm's names. A file that is no weights file is a `UsageError` that names it. */
export async function readWeightsFile(host: Host, path: string): Promise<Weights> {
  const read = await readAnyWeightsFile(host, path);
  return refusing(() => weightsOf(read), withoutQuery(path));
}

/** With the file's own names. */
export async function readAnyWeightsFile(host: Host, path: string, options: ReadOptions = {}): Promise<AnyWeights> {
  try {
    return await readWeightFiles(path, async (file) => (await host.openLarge?.(file)) ?? host.readFile(file), options);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    return refusing(() => {
      throw error;
    }, withoutQuery(path));
  }
}

// What follows a URL's ? may be a key.
const withoutQuery = (path: string): string => (/^https?:/.test(path) ? path.replace(/[?#].*$/s, "") : path);
