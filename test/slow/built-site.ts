/** The site as it is built, served, and a browser to visit it: for all tests of a file. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, beforeAll } from "vitest";
import { launchBrowser } from "../../cli/node/chromium.ts";
import { buildSite } from "../../cli/site.ts";
import { serveFolder } from "./serve-folder.ts";

export interface Site {
  readonly folder: string;
  readonly url: string;
  readonly browser: Browser;
}

/** Gives the site within a test. */
export function builtSite(): () => Site {
  let folder: string;
  let served: Awaited<ReturnType<typeof serveFolder>> | undefined;
  let browser: Browser | undefined;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tessera-site-"));
    await buildSite(folder);
    served = await serveFolder(folder);
    browser = await launchBrowser();
  }, 400_000);
  afterAll(async () => {
    await browser?.close();
    await served?.close();
    await rm(folder, { recursive: true, force: true });
  });
  return () => ({ folder, url: served!.url, browser: browser! });
}

/** Presses the button whose text begins so. */
export const press = (page: Page, text: string): Promise<void> =>
  page.evaluate((name) => [...document.querySelectorAll("button")].find((b) => b.textContent!.trim().startsWith(name))!.click(), text);
