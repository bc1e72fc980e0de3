/** The committed results, each shown on request with the report that the command line writes. */
import { el } from "../../bench-report/dom.ts";
import { showReport } from "../../bench-report/report.ts";
import { labOf } from "../../bench-page/lab.ts";
import { reference, referenceNames, references } from "../../bench-page/references.ts";
import { messageOf } from "../shell/message.ts";
import { offline } from "../shell/offline.ts";

const place = document.getElementById("gallery")!;
const shown = el("div");

async function show(name: string): Promise<void> {
  try {
    showReport(shown, [await reference(name)], { references, lab: labOf("./lab.html") });
  } catch (error) {
    shown.replaceChildren(el("p", { class: "error" }, `${name}: ${messageOf(error)}`));
  }
}

const buttons = referenceNames().map((name) => {
  const button = el("button", { type: "button" }, name);
  button.addEventListener("click", () => void show(name));
  return button;
});
place.replaceChildren(el("div", { class: "row" }, buttons), shown);
offline();
