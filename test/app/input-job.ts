/** The input pipeline on whatever machine the job runs on: a hash of so many batches, and which images were left out. */
import type { Host } from "../../jobs/host.ts";
import { makeAugment } from "../../train/augment/sample.ts";
import { epochOrder } from "../../train/data/dataset.ts";
import { openSource, type DataFiles } from "../../train/data/open.ts";
import { InputPipeline } from "../../train/input/pipeline.ts";

export interface InputArgs {
  readonly files: DataFiles;
  readonly kind: "augment" | "draw";
  readonly workers: number;
  readonly batches: number;
}

export default async function (
  host: Host,
  { files, kind, workers, batches }: InputArgs,
): Promise<{ hash: string; images: number[]; corrupt: string[] }> {
  const source = await openSource(files, (from) => host.images.read(from));
  const settings = makeAugment({ size: 24 });
  const corrupt: string[] = [];
  const pipeline = new InputPipeline(source, {
    batchSize: 4,
    order: (epoch) => ({ images: epochOrder(source.count, 7, epoch) }),
    platform: host.images,
    workers,
    maxCorrupt: 0.2,
    prepare: kind === "augment" ? { kind, settings, seed: 1 } : { kind, settings, seed: 1, area: 900, side: 60 },
    onCorrupt: ({ name }) => corrupt.push(name),
  });
  const images: number[] = [];
  let hash = "";
  for (let k = 0; k < batches; k++) {
    const { bytes, heights, widths, labels, records, images: which } = await pipeline.next();
    const rest = new TextEncoder().encode(JSON.stringify([hash, [...heights], [...widths], [...labels], records]));
    const all = new Uint8Array(bytes.length + rest.length);
    all.set(bytes);
    all.set(rest, bytes.length);
    hash = [...new Uint8Array(await crypto.subtle.digest("SHA-256", all))].map((v) => v.toString(16).padStart(2, "0")).join("");
    images.push(...which);
  }
  await new Promise((resolve) => setTimeout(resolve, 300)); // what is made ahead is asked for by now
  await pipeline.close();
  return { hash, images, corrupt };
}
