/** Puts a page's component into its place and reports what went wrong in it, instead of leaving an empty page. */
import { type ComponentType, render } from "preact";
import { offline } from "./offline.ts";

export function mount(Page: ComponentType): void {
  const place = document.getElementById("app");
  if (!place) throw new Error("site: expected an element with id app, got none");
  render(<Page />, place);
  offline();
}

