/** Pictures that a page's canvas draws: letters of many fonts, and shapes; each of its own size, place, turn and colours. Node only. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openChromium } from "../chromium.ts";

/** Families whose letters are learned, and other ones whose letters are asked. */
export const FAMILIES = {
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

/** Packages of the fonts, at the version that the pictures are drawn with. */
export const FONT_PACKAGES: readonly string[] = Object.values(FAMILIES).flatMap((names) =>
  names.map((family) => `@fontsource/${family}@5.3.0`),
);

/** The Latin faces of some families in base64, regular and bold; `project`: a folder that FONT_PACKAGES are installed in. */
export const fontFaces = (project: string, families: readonly string[]): string[] =>
  families.flatMap((family) => {
    const folder = join(project, "node_modules/@fontsource", family, "files");
    return readdirSync(folder)
      .filter((file) => new RegExp(`^${family}-latin-(400|700)-(normal|italic)\\.woff2$`).test(file))
      .map((file) => readFileSync(join(folder, file)).toString("base64"));
  });

export interface Asked {
  readonly kind: "letters" | "shapes";
  readonly labels: readonly string[];
  readonly each: number;
  readonly seed: number;
  readonly fonts: readonly string[];
  readonly side: number;
}

/** RGBA bytes (each, side, side, 4) of every label: what each of `asked` draws, in one browser. */
export async function drawPictures(asked: readonly Asked[]): Promise<Uint8Array[][]> {
  const chromium = await openChromium();
  try {
    const drawn: Uint8Array[][] = [];
    for (const one of asked) {
      const all = await chromium.page.evaluate(drawAll, one);
      drawn.push(all.map((base64) => Uint8Array.from(Buffer.from(base64, "base64"))));
    }
    return drawn;
  } finally {
    await chromium.close();
  }
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
