/** What every use of Vite here shares. */
import { join } from "node:path";
import type { InlineConfig } from "vite";
import { defaultCacheDir } from "./data/cifar10.ts";

/** Headers that let a page have SharedArrayBuffer and precise timers. */
export const isolated = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** No configuration, environment file or stylesheet plugin of the folders around this program is looked for, and nothing is kept beside it. */
export const ownFilesOnly: InlineConfig = {
  configFile: false,
  envDir: false,
  css: { postcss: {} },
  cacheDir: join(defaultCacheDir(), "vite"),
};
