/** Settings that every use of Vite here shares. */
import { join } from "node:path";
import type { InlineConfig } from "vite";
import { defaultCacheDir } from "../../bench/cache-dir.ts";

/** Headers that let a page have SharedArrayBuffer and precise timers. */
export const isolated = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** Vite reads no configuration, environment file or PostCSS plugin of surrounding folders, and keeps no cache. */
export const ownFilesOnly: InlineConfig = {
  configFile: false,
  envDir: false,
  css: { postcss: {} },
  cacheDir: join(defaultCacheDir(), "vite"),
};
