/** Weights with a LoRA adapter merged into them. */
import { classesIn } from "../../models/heads.ts";
import { mergedLora } from "../../models/lora.ts";
import type { AnyWeights } from "../../models/checkpoints/formats.ts";
import { toTimm } from "../../models/checkpoints/names.ts";
import { ADAPTER_FILES, readAdapter } from "../../models/checkpoints/peft.ts";
import { INFO, infoOf } from "../../models/checkpoints/weights.ts";
import { refusing } from "../errors.ts";
import type { Host } from "../host.ts";

/** `folder` holds PEFT's two files. An adapter of other weights is a `UsageError`. Returns timm's names. */
export async function withAdapter(host: Host, read: AnyWeights, folder: string): Promise<AnyWeights> {
  const [weights, config] = await Promise.all(
    [ADAPTER_FILES.weights, ADAPTER_FILES.config].map((name) => host.readFile(`${folder}/${name}`)),
  );
  const { state, ignored } = toTimm(read.state);
  const { lora, learned } = refusing(() => readAdapter(state, weights!, config!), folder);
  const merged = mergedLora(lora, state, learned);
  return {
    ...read,
    state: merged,
    ignored: [...read.ignored, ...ignored],
    metadata: metadataOf(read, classesIn(state), classesIn(merged)),
  };
}

/** A new number of classes has none of the old ones' names. */
function metadataOf({ metadata, container }: AnyWeights, before: number, after: number): AnyWeights["metadata"] {
  const info = infoOf(metadata, container);
  if (!info || before === after) return metadata;
  const { classes: _, ...others } = info;
  return { ...metadata, [INFO]: JSON.stringify({ ...others, config: { ...info.config, numClasses: after } }) };
}
