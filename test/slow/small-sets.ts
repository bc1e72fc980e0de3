/** Small sets of pictures of 32 x 32 pixels: what an app's user might teach. Letters and shapes are drawn by a canvas. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openChromium } from "../../cli/node/chromium.ts";
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

/** Families whose letters are learned, and other ones whose letters are asked. */
const FAMILIES = {
  train: [
    "lora",
    "oswald",
    "roboto",
    "merriweather",
    "inconsolata",
    "bitter",
    "caveat",
    "comfortaa",
    "cinzel",
    "raleway",
    "rubik",
    "spectral",
  ],
  held: ["lato", "playfair-display", "dancing-script", "josefin-slab", "anton", "source-code-pro"],
};

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
  const project = await install(
    projectsFolder(),
    "fonts",
    ...Object.values(FAMILIES).flatMap((names) => names.map((f) => `@fontsource/${f}`)),
  );
  const faces = (family: string): string[] => {
    const folder = join(project, "node_modules/@fontsource", family, "files");
    return readdirSync(folder)
      .filter((file) => new RegExp(`^${family}-latin-(400|700)-(normal|italic)\\.woff2$`).test(file))
      .map((file) => readFileSync(join(folder, file)).toString("base64"));
  };
  const chromium = await openChromium();
  try {
    const ask = async (kind: string, labels: readonly string[], each: number, seed: number, fonts: readonly string[] = []) => {
      const all = await chromium.page.evaluate(drawAll, { kind, labels, each, seed, fonts, side: SIDE });
      return labels.map((label, k) =>
        Array.from({ length: each }, (_, i) => ({
          image: pixels(new Uint8ClampedArray(Buffer.from(all[k]!, "base64")).slice(4 * SIDE * SIDE * i, 4 * SIDE * SIDE * (i + 1))),
          label,
        })),
      );
    };
    return [
      {
        name: "letters",
        train: await ask("letters", LETTERS, EACH, 1, FAMILIES.train.flatMap(faces)),
        held: (await ask("letters", LETTERS, HELD, 2, FAMILIES.held.flatMap(faces))).flat(),
      },
      { name: "shapes", train: await ask("shapes", SHAPES, EACH, 3), held: (await ask("shapes", SHAPES, HELD, 4)).flat() },
    ];
  } finally {
    await chromium.close();
  }
}

interface Asked {
  readonly kind: string;
  readonly labels: readonly string[];
  readonly each: number;
  readonly seed: number;
  readonly fonts: readonly string[];
  readonly side: number;
}

/** In the page, by itself: RGBA bytes in base64 of `each` pictures of each label. */
async function drawAll({ kind, labels, each, seed, fonts, side }: Asked): Promise<string[]> {
  let state = seed * 2654435761;
  const uniform = (from: number, to: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return from + ((to - from) * (state >>> 8)) / 2 ** 24;
  };
  const names: string[] = [];
  for (const [i, base64] of fonts.entries()) {
    const face = new FontFace(`set${seed}-${i}`, `url(data:font/woff2;base64,${base64})`);
    document.fonts.add(await face.load());
    names.push(face.family);
  }
  const canvas = new OffscreenCanvas(side, side);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  const polygon = (path: Path2D, corners: number, inner: number): void => {
    for (let i = 0; i < corners; i++) {
      const [angle, r] = [(2 * Math.PI * i) / corners - Math.PI / 2, i % 2 === 0 ? 1 : inner];
      path.lineTo(r * Math.cos(angle), r * Math.sin(angle));
    }
    path.closePath();
  };
  const shapes: Record<string, (path: Path2D) => void> = {
    arrow: (p) =>
      [
        [-1, -0.3],
        [0.1, -0.3],
        [0.1, -0.8],
        [1, 0],
        [0.1, 0.8],
        [0.1, 0.3],
        [-1, 0.3],
      ].forEach(([x, y]) => p.lineTo(x!, y!)),
    circle: (p) => p.arc(0, 0, 0.9, 0, 7),
    crescent: (p) => {
      p.arc(0, 0, 0.95, 0.9, 2 * Math.PI - 0.9);
      p.arc(0.45, 0, 0.77, 2 * Math.PI - 1.35, 1.35, true);
    },
    cross: (p) => {
      p.rect(-0.25, -0.95, 0.5, 1.9);
      p.rect(-0.95, -0.25, 1.9, 0.5);
    },
    heart: (p) => {
      p.moveTo(0, 0.9);
      p.bezierCurveTo(-1.6, -0.2, -0.7, -1.3, 0, -0.5);
      p.bezierCurveTo(0.7, -1.3, 1.6, -0.2, 0, 0.9);
    },
    pentagon: (p) => polygon(p, 5, 1),
    ring: (p) => {
      p.arc(0, 0, 0.95, 0, 7);
      p.moveTo(0.5, 0);
      p.arc(0, 0, 0.5, 0, 7, true);
    },
    square: (p) => p.rect(-0.8, -0.8, 1.6, 1.6),
    star: (p) => polygon(p, 10, 0.42),
    triangle: (p) => polygon(p, 3, 1),
  };
  const draw = (label: string): void => {
    context.setTransform(1, 0, 0, 1, 0, 0);
    const [hue, light] = [uniform(0, 360), uniform(10, 45)];
    context.fillStyle = `hsl(${hue} 50% ${light}%)`;
    context.fillRect(0, 0, side, side);
    context.fillStyle = `hsl(${hue + uniform(90, 270)} 60% ${uniform(60, 90)}%)`;
    context.translate(side / 2 + uniform(-4, 4), side / 2 + uniform(-4, 4));
    context.rotate(uniform(-0.3, 0.3));
    const size = uniform(0.55, 0.95) * side;
    if (kind === "letters") {
      context.font = `${size}px ${names[Math.floor(uniform(0, names.length))]}`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(label, 0, 0);
    } else {
      context.scale(size / 2, size / 2);
      const path = new Path2D();
      shapes[label]!(path);
      context.fill(path);
    }
  };
  return labels.map((label) => {
    const bytes = new Uint8Array(4 * side * side * each);
    for (let i = 0; i < each; i++) {
      draw(label);
      const { data } = context.getImageData(0, 0, side, side);
      for (let k = 0; k < data.length; k += 4)
        for (let c = 0; c < 3; c++) data[k + c] = Math.min(255, Math.max(0, data[k + c]! + uniform(-12, 12)));
      bytes.set(data, 4 * side * side * i);
    }
    let text = "";
    for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    return btoa(text);
  });
}
