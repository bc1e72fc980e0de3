/** Fills the site's pages docs.html and api.html, and writes search.json, which their search reads. */
import type { Plugin } from "vite";
import { ROOT, shipped } from "../place.ts";
import { api } from "./api.ts";
import { guides } from "./guides.ts";
import { searchIndex, type Section } from "./section.ts";

export async function docs(): Promise<Plugin> {
  const guide = guides(shipped("app/site/guides"));
  const modules = await api(ROOT);
  const names = modules.flatMap(({ sections }) => sections);
  const pages: Readonly<Record<string, readonly [place: string, html: string][]>> = {
    "docs.html": [
      ["<!-- contents -->", links(guide)],
      ["<!-- guides -->", guide.map((one) => sectionOf(one, "h2")).join("\n")],
    ],
    "api.html": [
      ["<!-- contents -->", links(names)],
      [
        "<!-- api -->",
        modules
          .map(({ name, sections }) => `<h2><code>${name}</code></h2>\n${sections.map((one) => sectionOf(one, "h3")).join("\n")}`)
          .join("\n"),
      ],
    ],
  };
  return {
    name: "site-docs",
    generateBundle() {
      const source = JSON.stringify([...searchIndex("docs.html", guide), ...searchIndex("api.html", names)]);
      this.emitFile({ type: "asset", fileName: "search.json", source });
    },
    transformIndexHtml: {
      order: "pre",
      handler: (html, { path }) =>
        (pages[path.split("/").at(-1)!] ?? []).reduce((text, [place, filled]) => text.replace(place, () => filled), html),
    },
  };
}

const links = (sections: readonly Section[]): string => sections.map(({ id, title }) => `<a href="#${id}">${title}</a>`).join(" ");

const sectionOf = ({ id, title, html }: Section, heading: string): string =>
  `<section id="${id}">\n<${heading}>${title}</${heading}>\n${html}</section>`;
