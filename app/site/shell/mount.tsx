/** Mounts a page's component; where the browser has no WebGPU, a notice stands before it. */
import { type ComponentType, render } from "preact";
import { findAdapter, noWebGpu } from "./no-webgpu.ts";
import { offline } from "./offline.ts";

export function mount(Page: ComponentType): void {
  const place = document.getElementById("app");
  if (!place) throw new Error("site: expected an element with id app, got none");
  render(<Page />, place);
  offline();
  void findAdapter().then((adapter) => {
    if (!adapter) place.before(noWebGpu());
  });
}
