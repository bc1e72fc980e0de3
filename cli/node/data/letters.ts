/** Ten letters of many fonts as CIFAR-10 records, drawn by a headless browser. Test pictures are of other fonts than training pictures. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toRecords } from "./cifar10.ts";
import { drawPictures, FAMILIES, FONT_PACKAGES, fontFaces } from "./drawn.ts";
import { npm } from "./npm-package.ts";

export const LETTERS = [..."ABCDEFGHIJ"];
const SIDE = 32;

/** Records of `each` pictures of every letter. */
export async function drawLetters(each: {
  readonly train: number;
  readonly test: number;
}): Promise<{ train: Uint8Array; test: Uint8Array }> {
  const project = await mkdtemp(join(tmpdir(), "fonts-"));
  try {
    await writeFile(join(project, "package.json"), JSON.stringify({ private: true }));
    await npm("letters", ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", ...FONT_PACKAGES], project);
    const [train, test] = await drawPictures([
      { kind: "letters", labels: LETTERS, each: each.train, seed: 1, fonts: fontFaces(project, FAMILIES.train), side: SIDE },
      { kind: "letters", labels: LETTERS, each: each.test, seed: 2, fonts: fontFaces(project, FAMILIES.held), side: SIDE },
    ]);
    return { train: records(train!), test: records(test!) };
  } finally {
    await rm(project, { recursive: true, force: true });
  }
}

/** drawn: RGBA bytes (each, 32, 32, 4) of every label. */
function records(drawn: readonly Uint8Array[]): Uint8Array {
  const labels = drawn.flatMap((rgba, k) => Array.from({ length: rgba.length / (4 * SIDE * SIDE) }, () => k));
  const rgb = Buffer.concat(drawn.map((rgba) => rgba.filter((_, i) => i % 4 !== 3)));
  return toRecords(rgb, labels);
}
