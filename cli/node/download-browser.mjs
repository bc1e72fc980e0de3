/**
 * Run as a child process: downloads the browser that puppeteer was made for into puppeteer's own folder, printing
 * its progress, by which the parent process tells a slow network from a dead one. `--deps` also installs the system's
 * libraries for it (root on Debian or Ubuntu).
 */
import { homedir } from "node:os";
import { join } from "node:path";
import { install } from "@puppeteer/browsers";
import { PUPPETEER_REVISIONS } from "puppeteer-core/internal/revisions.js";

let shown = 0;
const installed = install({
  browser: "chrome",
  buildId: PUPPETEER_REVISIONS.chrome,
  cacheDir: process.env.PUPPETEER_CACHE_DIR ?? join(homedir(), ".cache", "puppeteer"),
  installDeps: process.argv.includes("--deps"),
  downloadProgressCallback: (done, total) => {
    if (Date.now() - shown < 1000 && done < total) return;
    shown = Date.now();
    console.log(`Chrome ${PUPPETEER_REVISIONS.chrome}: ${(done / 1e6).toFixed(0)} of ${(total / 1e6).toFixed(0)} MB`);
  },
});
installed.catch((error) => {
  console.log(error instanceof Error ? error.message : String(error));
  process.exit(1);
});
