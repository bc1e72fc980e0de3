import type { Common, VisionModel } from "../index.ts";
export async function loadModelInWorker(from: string | Blob, o?: Common & { model?: string; labels?: readonly string[] | "imagenet" }): Promise<VisionModel> { throw new Error("later"); }
