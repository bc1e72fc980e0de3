/** Mounts a page's component; an error in it is shown on the page instead of an empty page. */
import { type ComponentType, render } from "preact";
import { offline } from "./offline.ts";

export function mount(Page: ComponentType): void {
  const place = document.getElementById("app");
  if (!place) throw new Error("site: expected an element with id app, got none");
  render(<Page />, place);
  offline();
}

