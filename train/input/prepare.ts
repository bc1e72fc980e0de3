/** The work on one image before its batch: decode, and where the CPU is to do it, augment or crop. Runs in workers. */
import { evalTransform, type RgbImage } from "../../models/preprocess.ts";
import type { EraseBox } from "../augment/erasing.ts";
import { applyOps } from "../augment/ops.ts";
import { sampleImage, type AugmentSettings } from "../augment/sample.ts";
import { inMemory, interleaved, planar, type FileRange, type ImagePlatform, type RawImage } from "./source.ts";

/** Plain data, so that it can be sent to a worker. */
export type Prepare =
  /** Only the bytes, in whatever size they have. */
  | { readonly kind: "decode" }
  /** As training sees it: drawn from (seed, epoch, image, copy) and applied, bytes of `settings.size`. */
  | { readonly kind: "augment"; readonly settings: AugmentSettings; readonly seed: number }
  /** As evaluation sees it: the short side to size / cropPct, then the centre. */
  | { readonly kind: "evaluate"; readonly size: number; readonly cropPct: number };

/** One image to make. */
export interface Task {
  readonly at: RawImage | FileRange;
  readonly image: number;
  readonly copy: number;
  readonly epoch: number;
}

export interface Prepared extends RawImage {
  /** What `augment` drew and left to the GPU, as it comes after normalisation. */
  readonly erase: readonly EraseBox[];
}

/** The image, or why its file gives none. Whatever else goes wrong is thrown. */
export async function prepareImage(task: Task, prepare: Prepare, platform: ImagePlatform): Promise<Prepared | { readonly corrupt: string }> {
  const { at, image, copy, epoch } = task;
  if (inMemory(at)) return prepare.kind === "decode" ? { ...at, erase: [] } : work(interleaved(at));
  let decoded: RgbImage;
  try {
    decoded = await platform.decode(await platform.read(at));
  } catch (error) {
    return { corrupt: (error as Error).message.split("\n")[0]! };
  }
  return work(decoded);

  function work(source: RgbImage): Prepared {
    if (prepare.kind === "decode") return { ...planar(source), erase: [] };
    if (prepare.kind === "evaluate") {
      const { size, cropPct } = prepare;
      return { height: size, width: size, data: evalTransform(source, size, cropPct) as Uint8Array<ArrayBuffer>, erase: [] };
    }
    const { ops, erase } = sampleImage(prepare.settings, source, { seed: prepare.seed, epoch, image, copy });
    return { ...planar(applyOps(source, ops)), erase };
  }
}
