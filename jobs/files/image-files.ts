/** Image files of a job, wherever it runs: decoded upright by what the place has, written as PNG. */
import type { RgbImage } from "../../models/images/preprocess.ts";
import { UsageError } from "../errors.ts";
import type { Host } from "../host.ts";

/** The page's decoder, or Node's. */
const codec = (): Promise<Pick<typeof import("../../cli/node/decode-image.ts"), "decodeImage" | "encodePng">> =>
  ("OffscreenCanvas" in globalThis ? import("../../models/images/decode.ts") : import("../../cli/node/decode-image.ts")) as ReturnType<
    typeof codec
  >;

/** A JPEG, PNG or WebP, upright. A file that is none is a `UsageError` that names it. */
export async function readImage(host: Host, path: string): Promise<RgbImage> {
  const encoded = await host.readFile(path);
  const { decodeImage } = await codec();
  try {
    return await decodeImage(encoded, { upright: true });
  } catch (error) {
    throw new UsageError(`expected an image that can be decoded at "${path}", got: ${(error as Error).message.trim().split("\n")[0]}`);
  }
}

export async function writePng(host: Host, path: string, image: RgbImage): Promise<void> {
  const { encodePng } = await codec();
  await host.writeFile(path, await encodePng(image));
}
