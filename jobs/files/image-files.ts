/** Image files of a job: decoded upright by the host's decoder, written as PNG. */
import type { RgbImage } from "../../models/images/preprocess.ts";
import type { Host } from "../host.ts";

/** The image at `path`, upright. Throws the reason in one line if it cannot be read or decoded. */
export async function readImage(host: Host, path: string): Promise<RgbImage> {
  return host.images.decode(await host.images.read({ path }), { upright: true });
}

export async function writePng(host: Host, path: string, image: RgbImage): Promise<void> {
  await host.writeFile(path, await host.images.encodePng(image));
}
