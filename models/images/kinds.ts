/** Kinds of image files: by the ending of a name, which is how data sets list them, and by their first bytes, which is how they are decoded. */

/** Decoded in Node and in a page; browsers lack TIFF. */
export type ImageKind = "JPEG" | "PNG" | "WebP" | "GIF" | "AVIF" | "BMP" | "PNM" | "TIFF";

/** Those of torchvision's `IMG_EXTENSIONS`, and GIF, AVIF and two further endings of JPEG. */
const ENDING = /\.(jpe?g|jpe|jfif|png|webp|gif|avif|bmp|ppm|pgm|pbm|pnm|tiff?)$/i;

export const isImageName = (name: string): boolean => ENDING.test(name);

/** For messages. */
export const IMAGE_ENDINGS = ".jpg, .png, .webp, .gif, .avif, .bmp, .ppm, .pgm, .tif";

/** The kind that the first bytes tell, or null. SVG is not read: it is a program that draws, and may request other files. */
export function imageKind(file: Uint8Array): ImageKind | null {
  const starts = (text: string, at = 0): boolean => [...text].every((c, i) => file[at + i] === c.charCodeAt(0));
  if (starts("\xff\xd8\xff")) return "JPEG";
  if (starts("\x89PNG\r\n\x1a\n")) return "PNG";
  if (starts("RIFF") && starts("WEBP", 8)) return "WebP";
  if (starts("GIF87a") || starts("GIF89a")) return "GIF";
  if (starts("ftyp", 4) && (starts("avif", 8) || starts("avis", 8) || starts("mif1", 8))) return "AVIF";
  if (starts("BM")) return "BMP";
  if (/^P[1-6]\s$/.test(String.fromCharCode(...file.subarray(0, 3)))) return "PNM";
  if (starts("II*\0") || starts("MM\0*")) return "TIFF";
  return null;
}
