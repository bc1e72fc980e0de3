/** Types of `setup.mjs`. */
import type { Setup } from "./find.d.mts";
export { findChromium, findVulkan } from "./find.d.mts";

export function setup(options?: {
  tests?: boolean;
  install?: boolean;
}): Promise<{
  found: Setup;
  lack: { node: boolean; vulkan: boolean; browser: boolean };
  inBrowser: string | null;
  enough: boolean;
  system: { id: "debian" | "ubuntu"; codename: string } | null;
}>;
