/** Image files of a job: decoded upright by the host's decoder, written as PNG. */
import type { RgbImage } from "../../models/images/preprocess.ts";
import { UsageError } from "../errors.ts";
import type { Host } from "../host.ts";

/** The image at `path`, upright. A file that cannot be decoded is a `UsageError` that names it. */
export async function readImage(host: Host, path: string): Promise<RgbImage> {
  const encoded = await host.readFile(path);
  try {
    return await host.images.decode(encoded, { upright: true });
  } catch (error) {
    throw new UsageError(`expected an image that can be decoded at "${path}", got: ${(error as Error).message.trim().split("\n")[0]}`);
  }
}

export async function writePng(host: Host, path: string, image: RgbImage): Promise<void> {
  await host.writeFile(path, await host.images.encodePng(image));
}
