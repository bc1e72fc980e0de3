/** Elements, numbers and sortable tables of the benchmark's report. What comes from data goes in as text, never as markup. */

type Child = Node | string | number | null | undefined | false | readonly Child[];
type Attributes = Readonly<Record<string, string | number | boolean | null | undefined>>;

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes?: Attributes | null,
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {}))
    if (value !== false && value !== null && value !== undefined) e.setAttribute(name, value === true ? "" : String(value));
  const add = (child: Child): void => {
    if (Array.isArray(child)) child.forEach(add);
    else if (child !== null && child !== undefined && child !== false)
      e.append(typeof child === "number" ? String(child) : (child as Node | string));
  };
  children.forEach(add);
  return e;
}

/** Three figures, more for large whole numbers: 0.0123, 1.23, 123, 12,345. */
export const figure = (x: number): string => {
  if (!Number.isFinite(x)) return "–";
  return Math.abs(x) >= 999.5
    ? Math.round(x).toLocaleString("en")
    : x === 0
      ? "0"
      : Math.abs(x) < 1e-3
        ? x.toExponential(1)
        : x.toPrecision(3);
};
export const times = (x: number): string => `${x >= 100 ? Math.round(x) : x.toPrecision(x >= 10 ? 3 : x >= 1 ? 3 : 2)}×`;
export const range = (low: number, high: number): string => `${figure(low)}–${figure(high)}`;

/** A cell: its content, and the value to sort by if that is not the text. */
export interface Cell {
  readonly text: string;
  readonly value?: number;
  readonly title?: string;
  readonly class?: string;
  /** Makes the text a button that calls this. */
  readonly press?: () => void;
}

export interface Column<Row> {
  readonly title: string;
  /** Tooltip of the column. */
  readonly about?: string;
  readonly cell: (row: Row) => Cell | string | number | null | undefined;
}

const NONE: Cell = { text: "–" };
const asCell = (c: Cell | string | number | null | undefined): Cell =>
  c === null || c === undefined ? NONE : typeof c === "number" ? { text: figure(c), value: c } : typeof c === "string" ? { text: c } : c;

/** "1 case", "2 cases". */
export const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;

/** A table that sorts by the column whose header is pressed, upwards, then downwards. Empty cells come last; columns with only empty cells are left out. */
export function table<Row>(id: string, caption: string, all: readonly Column<Row>[], rows: readonly Row[]): HTMLElement {
  const columns = all.filter((column, i) => i === 0 || rows.some((row) => asCell(column.cell(row)) !== NONE));
  const made = rows.map((row) => columns.map((column) => asCell(column.cell(row))));
  const numeric = columns.map((_, i) => made.some((cells) => cells[i]!.value !== undefined));
  const lines = made.map((cells) => ({
    cells,
    line: el(
      "tr",
      null,
      cells.map((cell, i) =>
        el(
          i === 0 ? "th" : "td",
          {
            scope: i === 0 ? "row" : null,
            class: [numeric[i] && "number", cell.class].filter(Boolean).join(" ") || null,
            title: cell.title,
          },
          cell.press ? pressable(cell.text, cell.press) : cell.text,
        ),
      ),
    ),
  }));
  const body = el(
    "tbody",
    null,
    lines.map((l) => l.line),
  );
  const heads = columns.map((column, i) => {
    const button = el(
      "button",
      { type: "button", title: column.about },
      column.title,
      el("span", { "aria-hidden": "true", class: "arrow" }),
    );
    const head = el("th", { scope: "col", class: numeric[i] ? "number" : null }, button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sorted = [...lines].sort((a, b) => byCell(a.cells[i]!, b.cells[i]!, numeric[i]!, down));
      body.replaceChildren(...sorted.map((l) => l.line));
    });
    return head;
  });
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", { id }, el("caption", null, caption), el("thead", null, el("tr", null, heads)), body),
  );
}

function pressable(text: string, press: () => void): HTMLElement {
  const button = el("button", { type: "button", class: "press" }, text);
  button.addEventListener("click", press);
  return button;
}

function byCell(a: Cell, b: Cell, numeric: boolean, down: boolean): number {
  const sign = down ? -1 : 1;
  if (!numeric) return sign * a.text.localeCompare(b.text, "en", { numeric: true });
  if (a.value === undefined || b.value === undefined) return Number(a.value === undefined) - Number(b.value === undefined);
  return sign * (a.value - b.value);
}

/** A chart that is drawn anew when the room for it changes. `draw` gets the width in pixels. */
export function chart(title: string, caption: string, draw: (width: number) => Element): HTMLElement {
  const place = el("div", { class: "plot" });
  let drawnFor = 0;
  new ResizeObserver(() => {
    const width = Math.floor(place.clientWidth);
    if (width === drawnFor || width === 0) return;
    drawnFor = width;
    const svg = draw(width);
    svg.setAttribute("role", "img");
    for (const part of svg.children) part.setAttribute("aria-hidden", "true"); // Plot names them, but they have no role
    svg.setAttribute("aria-label", `${title}. ${caption}`);
    place.replaceChildren(svg);
  }).observe(place);
  return el("figure", null, title && el("h3", null, title), place, el("figcaption", null, caption));
}

/** A part of the report with its title, by which assistive technology names it: a page can show two reports with equal titles. */
export const section = (title: string, ...children: (Node | string | null | false)[]): HTMLElement => {
  const id = title.toLowerCase().replaceAll(/\W+/g, "-");
  return el("section", { "aria-label": title }, el("h2", { id }, title), children);
};
