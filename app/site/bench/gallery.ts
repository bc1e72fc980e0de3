/** The committed results, each shown on request with the report that the command line writes. */
import { type NamedResult, readResults } from "../../../bench/result-file.ts";
import { el } from "../../bench-report/dom.ts";
import { showReport } from "../../bench-report/report.ts";
import { messageOf } from "../shell/message.ts";
import { offline } from "../shell/offline.ts";

const files = import.meta.glob<string>("../../../bench/results/*.json", { query: "?url", import: "default", eager: true });
const results = Object.entries(files).filter(([path]) => !/\/check-/.test(path));

const place = document.getElementById("gallery")!;
const shown = el("div");
const loaded = new Map<string, NamedResult>();

async function show(path: string, url: string): Promise<void> {
  const name = path.split("/").at(-1)!.replace(".json", "");
  try {
    let result = loaded.get(path);
    if (!result) {
      [result] = readResults([{ name, content: await (await fetch(url)).json() }]);
      loaded.set(path, result!);
    }
    showReport(shown, [result!]);
  } catch (error) {
    shown.replaceChildren(el("p", { class: "error" }, `${name}: ${messageOf(error)}`));
  }
}

const buttons = results.map(([path, url]) => {
  const button = el("button", { type: "button" }, path.split("/").at(-1)!.replace(".json", ""));
  button.addEventListener("click", () => void show(path, url));
  return button;
});
place.replaceChildren(el("div", { class: "row" }, buttons), shown);
offline();
