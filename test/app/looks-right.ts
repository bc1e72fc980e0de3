/** What every page must stand, as it opens and with results on it. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Page } from "puppeteer-core";
import { expect } from "vitest";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string }[];
}

/** axe finds nothing on the page as it is now, in light and dark, and nothing is cut at three widths. */
export async function looksRight(page: Page): Promise<void> {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    for (const width of [360, 768, 1300]) {
      await page.setViewport({ width, height: 900 });
      const cut = () =>
        page.evaluate(() => {
          const { scrollWidth, clientWidth } = document.documentElement;
          const wide = [...document.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > clientWidth + 1);
          return scrollWidth <= clientWidth ? "" : wide.map((e) => `${e.tagName} ${e.className}`).join(", ");
        });
      await expect.poll(cut, { message: `${scheme}, ${width} pixels`, timeout: 10_000 }).toBe("");
    }
    await page.evaluate(axe);
    const { violations } = (await page.evaluate("axe.run()")) as { readonly violations: readonly Violation[] };
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]!.html}`)).toEqual([]);
  }
}
