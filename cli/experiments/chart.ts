/** Lines over an axis as an SVG element that needs neither script nor stylesheet of its own: colours are the page's classes line-0, line-1, … */

export interface ChartLine {
  readonly label: string;
  /** `error`: drawn as a bar of two of them on either side. */
  readonly points: readonly { readonly x: number; readonly y: number; readonly error?: number | null }[];
}

export interface Chart {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly lines: readonly ChartLine[];
  /** Equal factors are equal distances on the x axis. */
  readonly log?: boolean;
}

/** Sizes in the SVG's own units. */
const [WIDTH, HEIGHT] = [460, 260];
const FRAME = { left: 46, right: 10, top: 12, bottom: 40 };
/** Least distance between the labels of two lines. */
const LABEL = 15;
/** Room for labels at the ends of lines. */
const LEGEND = 180;

const escapeXml = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const number = (v: number): string => String(Math.round(v * 10) / 10);

export function chart({ title, x: xLabel, y: yLabel, lines, log = false }: Chart): string {
  const all = lines.flatMap(({ points }) => points);
  const low = Math.min(...all.map(({ y, error }) => y - 2 * (error ?? 0)));
  const high = Math.max(...all.map(({ y, error }) => y + 2 * (error ?? 0)));
  const step = niceStep((high - low) / 4 || 1);
  const [from, to] = [Math.floor(low / step) * step, Math.max(Math.ceil(high / step) * step, Math.floor(low / step) * step + step)];
  const scaled = (v: number) => (log ? Math.log(v) : v);
  const xs = [...new Set(all.map(({ x }) => x))].sort((a, b) => a - b);
  const [first, last] = [scaled(xs[0]!), scaled(xs.at(-1)!)];
  const [width, height] = [WIDTH - FRAME.left - FRAME.right, HEIGHT - FRAME.top - FRAME.bottom];
  const px = (v: number) => FRAME.left + (last === first ? width / 2 : ((scaled(v) - first) / (last - first)) * width);
  const py = (v: number) => FRAME.top + (1 - (v - from) / (to - from)) * height;
  const ticks = Array.from({ length: Math.round((to - from) / step) + 1 }, (_, i) => from + i * step);
  const ends = spread(lines.map(({ points }) => py(points.at(-1)!.y)));
  return `<figure><figcaption>${escapeXml(title)}</figcaption>
<svg class="chart" viewBox="0 0 ${WIDTH + LEGEND} ${HEIGHT}" role="img" aria-label="${escapeXml(`${title}: ${lines.map(({ label, points }) => `${label} ends at ${number(points.at(-1)!.y)}`).join(", ")}`)}">
${ticks.map((v) => `<line class="grid" x1="${FRAME.left}" x2="${FRAME.left + width}" y1="${number(py(v))}" y2="${number(py(v))}"/><text class="axis" x="${FRAME.left - 6}" y="${number(py(v) + 4)}" text-anchor="end">${number(v)}</text>`).join("\n")}
${xTicks(xs, px)
  .map((v) => `<text class="axis" x="${number(px(v))}" y="${HEIGHT - FRAME.bottom + 16}" text-anchor="middle">${number(v)}</text>`)
  .join("\n")}
<text class="axis" x="${FRAME.left + width / 2}" y="${HEIGHT - 6}" text-anchor="middle">${escapeXml(xLabel)}</text>
<text class="axis" transform="translate(11 ${FRAME.top + height / 2}) rotate(-90)" text-anchor="middle">${escapeXml(yLabel)}</text>
${lines.map((line, i) => drawn(line, i, px, py, ends[i]!, FRAME.left + width)).join("\n")}
</svg></figure>`;
}

function drawn(
  { label, points }: ChartLine,
  i: number,
  px: (v: number) => number,
  py: (v: number) => number,
  labelY: number,
  right: number,
): string {
  const path = points.map(({ x, y }) => `${number(px(x))},${number(py(y))}`).join(" ");
  const bars = points
    .filter(({ error }) => error)
    .map(
      ({ x, y, error }) =>
        `<line x1="${number(px(x))}" x2="${number(px(x))}" y1="${number(py(y - 2 * error!))}" y2="${number(py(y + 2 * error!))}"/>`,
    );
  const dots = points.map(({ x, y }) => `<circle cx="${number(px(x))}" cy="${number(py(y))}" r="2.5"/>`);
  return `<g class="line-${i % COLOURS}"><polyline points="${path}"/>${bars.join("")}${dots.join("")}<text x="${right + 12}" y="${number(labelY + 4)}">${escapeXml(label)}</text></g>`;
}

/** Classes that the page has colours for. */
export const COLOURS = 6;

function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= least * 0.999)!;
}

/** Values whose labels do not touch. */
function xTicks(xs: readonly number[], px: (v: number) => number): number[] {
  const shown: number[] = [];
  for (const v of xs) if (shown.length === 0 || px(v) - px(shown.at(-1)!) >= 34) shown.push(v);
  return shown;
}

/** Heights of labels, moved apart where they would touch. */
function spread(heights: readonly number[]): number[] {
  const order = heights.map((y, i) => ({ y, i })).sort((a, b) => a.y - b.y);
  const out = [...heights];
  let least = -Infinity;
  for (const { y, i } of order) {
    out[i] = Math.max(y, least);
    least = out[i]! + LABEL;
  }
  const over = Math.max(0, least - LABEL - (HEIGHT - FRAME.bottom));
  return out.map((y) => y - over);
}
