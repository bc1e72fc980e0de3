/** Drives the lab's page as a person would. */
import type { Page } from "puppeteer-core";
import type { Site } from "./built-site.ts";

export const WGSL = "WGSL of the kernel";

interface View {
  readonly state: { readonly doc: { toString(): string } };
  dispatch(change: object): void;
}

/** CodeMirror's own view of an editor, in the page. */
const VIEW = (label: string): View =>
  (document.querySelector(`[data-editor="${label}"] .cm-content`) as unknown as { readonly cmTile: { readonly view: View } }).cmTile.view;

/** The page, opened in a new tab. */
export async function openLab({ browser, url }: Site, hash = ""): Promise<Page> {
  const page = await browser.newPage();
  page.setDefaultTimeout(300_000);
  await page.evaluateOnNewDocument(`globalThis.VIEW = ${VIEW}`);
  await page.goto(`${url}lab.html${hash}`, { waitUntil: "load" });
  return page;
}

export const textOf = (page: Page, label = WGSL): Promise<string> => page.evaluate((name) => VIEW(name).state.doc.toString(), label);

/** Waits until an editor holds this text. */
export const until = async (page: Page, label: string, text: string): Promise<void> =>
  void (await page.waitForFunction((name, code) => VIEW(name).state.doc.toString() === code, {}, label, text));

/** Types at an editor's start. */
export const insert = (page: Page, label: string, text: string): Promise<void> =>
  page.evaluate((name, code) => VIEW(name).dispatch({ changes: { from: 0, insert: code } }), label, text);

/** Types over the first `from` of a text. */
export const replace = (page: Page, label: string, from: string, to: string) =>
  page.evaluate(
    (name, before, after) => {
      const view = VIEW(name);
      const at = view.state.doc.toString().indexOf(before);
      if (at < 0) throw new Error(`expected ${before} in the editor, got none`);
      view.dispatch({ changes: { from: at, to: at + before.length, insert: after } });
    },
    label,
    from,
    to,
  );

/** The newest verdict, once it is whole and of the text that is shown. */
export async function verdict(page: Page, after = 0): Promise<{ readonly edit: number; readonly right: boolean; readonly says: string }> {
  await page.waitForFunction(
    (edit) => {
      const card = document.querySelector<HTMLElement>("[data-judged]");
      return card?.dataset["old"] === "false" && Number(card.dataset["judged"]) > edit;
    },
    {},
    after,
  );
  return page.$eval("[data-judged]", (card) => ({
    edit: Number((card as HTMLElement).dataset["judged"]),
    right: (card as HTMLElement).dataset["right"] === "true",
    says: card.querySelector("h2")!.textContent!,
  }));
}
