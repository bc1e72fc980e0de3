import { defineConfig } from "vite";

/** Lets a page have SharedArrayBuffer and precise timers. */
const isolated = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

export default defineConfig({
  root: import.meta.dirname,
  server: { headers: isolated },
  preview: { headers: isolated },
  // What the pages import is TypeScript of this repository. A dependency found late would reload the page under a job.
  optimizeDeps: { noDiscovery: true, include: [] },
});
