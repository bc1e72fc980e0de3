/** The platform of sets whose images all lie in memory: nothing is read or decoded, and no thread is needed. */
import type { ImagePlatform } from "./source.ts";

const refuse = (what: string) => (): never => {
  throw new Error(`input: expected images in memory and no workers, got ${what}`);
};

export const memoryOnly: ImagePlatform = {
  read: refuse("a file"),
  decode: refuse("an encoded image"),
  encodePng: refuse("an image to encode"),
  startWorker: refuse("a worker to start"),
};
