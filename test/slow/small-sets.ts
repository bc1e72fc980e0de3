/** Small sets of pictures of 32 x 32 pixels: what an app's user might teach. Letters and shapes are drawn by a canvas. */
import { readFileSync } from "node:fs";
import { drawPictures, FAMILIES, FONT_PACKAGES, fontFaces, type Asked } from "../../cli/node/data/drawn.ts";
import type { Example } from "../../tasks/api.ts";
import { install, projectsFolder } from "./packed.ts";

export interface SmallSet {
  readonly name: string;
  /** 200 of each of ten classes, one class after the other. */
  readonly train: readonly (readonly Example[])[];
  /** 30 of each. */
  readonly held: readonly Example[];
}

const SIDE = 32;
const EACH = 200;
const HELD = 30;

const CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
const LETTERS = [..."ABCDEFGHIJ"];
const SHAPES = ["arrow", "circle", "crescent", "cross", "heart", "pentagon", "ring", "square", "star", "triangle"];

/** The shipped subset of CIFAR-10. */
export function cifar(): SmallSet {
  const read = (split: string, each: number): Example[][] => {
    const bytes = readFileSync(`app/data/cifar10/${split}.bin`);
    const size = 1 + 3 * SIDE * SIDE;
    const classes: Example[][] = CIFAR.map(() => []);
    for (let at = 0; at < bytes.length; at += size) {
      const of = classes[bytes[at]!]!;
      if (of.length === each) continue;
      const data = new Uint8ClampedArray(4 * SIDE * SIDE).fill(255);
      for (let i = 0; i < SIDE * SIDE; i++) for (let c = 0; c < 3; c++) data[4 * i + c] = bytes[at + 1 + c * SIDE * SIDE + i]!;
      of.push({ image: pixels(data), label: CIFAR[bytes[at]!]! });
    }
    return classes;
  };
  return { name: "CIFAR-10", train: read("train", EACH), held: read("test", HELD).flat() };
}

const pixels = (data: Uint8ClampedArray): ImageData => ({ width: SIDE, height: SIDE, data, colorSpace: "srgb" }) as ImageData;

/** Letters of many fonts, from npm, and ten shapes; each of its own size, place, turn and colours. */
export async function drawn(): Promise<SmallSet[]> {
  const project = await install(projectsFolder(), "fonts", ...FONT_PACKAGES);
  const ask = (kind: Asked["kind"], labels: readonly string[], each: number, seed: number, fonts: readonly string[] = []): Asked => ({
    ...{ kind, labels, each, seed, fonts, side: SIDE },
  });
  const [letters, heldLetters, shapes, heldShapes] = await drawPictures([
    ask("letters", LETTERS, EACH, 1, fontFaces(project, FAMILIES.train)),
    ask("letters", LETTERS, HELD, 2, fontFaces(project, FAMILIES.held)),
    ask("shapes", SHAPES, EACH, 3),
    ask("shapes", SHAPES, HELD, 4),
  ]);
  return [
    { name: "letters", train: examples(letters!, LETTERS), held: examples(heldLetters!, LETTERS).flat() },
    { name: "shapes", train: examples(shapes!, SHAPES), held: examples(heldShapes!, SHAPES).flat() },
  ];
}

const examples = (drawn: readonly Uint8Array[], labels: readonly string[]): Example[][] =>
  drawn.map((bytes, k) =>
    Array.from({ length: bytes.length / (4 * SIDE * SIDE) }, (_, i) => ({
      image: pixels(new Uint8ClampedArray(bytes.slice(4 * SIDE * SIDE * i, 4 * SIDE * SIDE * (i + 1)))),
      label: labels[k]!,
    })),
  );
