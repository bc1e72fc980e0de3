/** Guides and API are plain HTML; this makes their search work and keeps the site for use without a network. */
import type MiniSearch from "minisearch";
import { offline } from "./shell/offline.ts";

interface Entry {
  readonly id: string;
  readonly title: string;
  readonly text: string;
}

const MOST = 12;
const field = document.querySelector<HTMLInputElement>("input[type=search]")!;
const found = document.querySelector<HTMLElement>("[data-found]")!;

let index: Promise<MiniSearch<Entry>> | undefined;

/** Loads the search and its index when the field is first used. */
async function load(): Promise<MiniSearch<Entry>> {
  const [{ default: Search }, answer] = await Promise.all([import("minisearch"), fetch("./search.json")]);
  const search = new Search<Entry>({
    fields: ["title", "text"],
    storeFields: ["title", "text"],
    searchOptions: { prefix: true, fuzzy: 0.2, combineWith: "AND", boost: { title: 4 } },
  });
  search.addAll((await answer.json()) as Entry[]);
  return search;
}

async function show(): Promise<void> {
  const words = field.value.trim();
  const hits = words === "" ? [] : (await (index ??= load())).search(words).slice(0, MOST);
  if (field.value.trim() !== words) return; // a newer answer is on its way
  found.replaceChildren(...hits.map(({ id, title, text }) => entry(String(id), String(title), String(text))));
  if (words !== "" && hits.length === 0) found.textContent = `Nothing found for “${words}”.`;
}

function entry(address: string, title: string, text: string): HTMLElement {
  const line = document.createElement("p");
  const link = Object.assign(document.createElement("a"), { href: `./${address}`, textContent: title });
  line.append(link, ` ${text.replace(/\s+/g, " ").trim().slice(0, 90)}`);
  return line;
}

field.addEventListener("input", () => void show());
offline();
