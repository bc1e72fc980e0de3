/**
 * Tar shards as WebDataset writes them: the files of a sample stand together and share a key, its path up to the first dot of its last part. One is an
 * image; `.cls` (an integer), or without it `.json` (an integer, or an object with `cls` or `label`), is its class.
 * https://github.com/webdataset/webdataset
 */
import { isImageName } from "../../models/images/kinds.ts";
import type { FileRange } from "../input/source.ts";
import { members, windowed, type Read } from "./tar-members.ts";

/** Where each image lies, and its label. */
export interface TarSample {
  readonly key: string;
  readonly image: Required<FileRange>;
  readonly label: number;
}

interface Place {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

/** Files of one sample. */
interface Group {
  readonly key: string;
  image?: Required<FileRange>;
  cls?: Place;
  json?: Place;
}

/** Most bytes of a label file; a longer file is not a label. */
const MOST_TEXT = 1 << 20;

/** The samples of one shard in their order, by its headers and labels; images are not read. Throws for a broken file, naming it and the byte. */
export async function indexTar(path: string, read: Read): Promise<TarSample[]> {
  const window = windowed(path, read);
  const samples: TarSample[] = [];
  const finish = async ({ key, image, cls, json }: Group): Promise<void> => {
    const place = cls ?? json;
    if (image && place) {
      const text = new TextDecoder().decode(await window(place.offset, Math.min(place.size, MOST_TEXT)));
      samples.push({ key, image, label: labelOf(text, cls !== undefined, `${place.name} of ${path}, byte ${place.offset}`) });
    } else if (image)
      throw new Error(
        `tar: expected a .cls or .json beside the image of sample ${key} in ${path} (record ${samples.length}, byte ${image.offset}), got none`,
      );
    else if (cls)
      throw new Error(`tar: expected an image beside the label of sample ${key} in ${path} (record ${samples.length}), got none`);
  };
  let open: Group | undefined;
  for await (const member of members(path, window)) {
    const slash = member.name.lastIndexOf("/") + 1;
    const dot = member.name.indexOf(".", slash);
    if (dot <= slash) continue; // hidden, or without an ending
    const key = member.name.slice(0, dot);
    const ending = member.name.slice(dot + 1).toLowerCase();
    if (open?.key !== key) {
      if (open) await finish(open);
      open = { key };
    }
    if (!ending.includes(".") && isImageName(`.${ending}`)) {
      if (open.image) throw new Error(`tar: expected one image in sample ${key} of ${path}, got a second at byte ${member.offset}`);
      open.image = { path, offset: member.offset, length: member.size };
    } else if (ending === "cls" || ending === "json") open[ending] = member;
  }
  if (open) await finish(open);
  return samples;
}

function labelOf(text: string, cls: boolean, where: string): number {
  const value = cls ? (/^\s*\+?\d+\s*$/.test(text) ? Number(text) : undefined) : fromJson(text);
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    throw new Error(`tar: expected a class as an integer in ${where}, got ${JSON.stringify(text.slice(0, 40))}`);
  return value as number;
}

function fromJson(text: string): unknown {
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value !== "object" || value === null) return value;
    return "cls" in value ? value.cls : "label" in value ? value.label : undefined;
  } catch {
    return undefined;
  }
}
