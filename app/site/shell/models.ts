/** Where models come from: those that ship with the site, a file, an address, or a name on a hub. */
import type { Common, VisionModel } from "../../../index.ts";
import { loadModelInWorker } from "../../../tasks/worker.ts";
import cnn from "../../data/teacher/regnety-cifar10.safetensors?url";

export interface Shipped {
  readonly id: string;
  readonly name: string;
  readonly about: string;
  readonly url: string;
}

/** Small models of our own training. */
export const SHIPPED: readonly Shipped[] = [
  { id: "cnn", name: "RegNetY, CIFAR-10 (0.2 MB)", about: "a convolutional network for ten kinds of things, 32 pixels wide", url: cnn },
];

/** `timm/deit_tiny_distilled_patch16_224.fb_in1k`, with `@REVISION` where one is wanted. */
const HUB = /^([\w.-]+\/[\w.-]+)(?:@([\w./-]+))?$/;

/** The address of a hub's weights; the name as it is where it is an address already. */
export function addressOf(name: string): string {
  const match = HUB.exec(name.trim());
  return match ? `https://huggingface.co/${match[1]}/resolve/${match[2] ?? "main"}/model.safetensors` : name.trim();
}

/** timm's name of the architecture, found in a hub name or file name; undefined if there is none. */
export const architectureIn = (name: string): string | undefined =>
  /(deit3?|vit|eva02|regnety|convnext)_[a-z0-9]+[a-z0-9_]*|resnet\d+/i.exec(name)?.[0];

/** Loads in a worker, so that the page stays free. */
export async function openModel(from: string | Blob, name: string, options: Common): Promise<VisionModel> {
  const model = architectureIn(name);
  try {
    return await loadModelInWorker(from, options); // most files name their model
  } catch (error) {
    if (!model || (error as Error).name === "AbortError") throw error;
    return loadModelInWorker(from, { ...options, model, ...(/in1k|224|384/.test(name) ? { labels: "imagenet" as const } : {}) });
  }
}
