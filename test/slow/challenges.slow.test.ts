/** Every challenge: shipped kernels score 1 within the noise, the start is slower, three cheats are refused by name; the page. Figures go into RESULTS.md. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Page } from "puppeteer-core";
import { describe, expect, test } from "vitest";
import type { Challenge } from "../../checks/challenge.ts";
import { challenges } from "../../checks/challenges.ts";
import { getDevice } from "../../engine/device.ts";
import { judge } from "../../jobs/lab/challenges/judge.ts";
import { challengeFile } from "../../jobs/lab/challenges/result-file.ts";
import { newSeed } from "../../jobs/lab/challenges/drawn.ts";
import { builtSite, press } from "./built-site.ts";

const set = getDevice().adapter.software ? "software" : "gpu";
const SEED = newSeed();

/** The text with the published sizes in place of all letters. */
function fixed({ start, published }: Challenge): string {
  return Object.entries(published[set]).reduce(
    (text, [letter, size]) =>
      text
        .replaceAll(new RegExp(`\\bp\\.${letter}\\b`, "g"), `${size}u`)
        .replace(/^\/\/ kernel:.*$/gm, (header) =>
          header.replace(/(threads|groups) [^;]*/, (count) => count.replaceAll(new RegExp(`\\b${letter}\\b`, "g"), String(size))),
        ),
    start,
  );
}

/** A kernel for each output that writes a number and reads nothing. */
const constant = ({ inputs, outputs }: Challenge): string =>
  Object.entries(outputs)
    .map(([name, shape]) => {
      const axes = shape.slice(1, -1).split(/[,*]/);
      return `// kernel: reads ${Object.keys(inputs)[0]}; writes ${name}; threads ${axes.join("*")}; workgroup 64
fn main() {
  let i = group * WG + li;
  if (i < ${axes.map((axis) => `p.${axis}`).join(" * ")}) { ${name}[i] = 0.25; }
}
`;
    })
    .join("\n");

/** Computes where its memory holds no number, as it is checked, and returns where it holds the run's before. */
const lazy = ({ start, ...c }: Challenge): string =>
  (c.title.includes("registers") ? challenges["gemm-tiles"]!.start : start).replaceAll(
    /(^\/\/ kernel:.*writes (\w+)[^]*?^fn main\(\) \{\n)/gm,
    (_, head: string, name: string) => `${head}  if (abs(${name}[min(group * WG + li, arrayLength(&${name}) - 1u)]) < 1e30) { return; }\n`,
  );

/** A mean of each row with a thread of its own. */
const BETTER = `// kernel: reads x; writes y; threads rows; workgroup 64
fn main() {
  let row = group * WG + li;
  if (row >= p.rows) { return; }
  var sum = 0.0;
  for (var i = 0u; i < p.D; i++) { sum += x[row * p.D + i]; }
  y[row] = sum / f32(p.D);
}
`;

/** Of CodeMirror. */
interface Content {
  readonly cmTile: { readonly view: { readonly state: { readonly doc: { readonly length: number } }; dispatch(change: object): void } };
}

describe.each(Object.entries(challenges))("%s", (name, challenge) => {
  test("shipped kernels against themselves: 1 within the noise", async () => {
    const { refused, score, scoreRange, verdict } = await judge(name, null, { seed: SEED });
    console.log(`${name}, shipped: ${score} (${scoreRange?.join(" to ")})`);
    expect(refused).toBeNull();
    expect(verdict).toBe("not told apart");
  });

  test("the start is slower", async () => {
    const { refused, score, scoreRange, times } = await judge(name, challenge.start, { seed: SEED });
    console.log(
      `${name}, start: ${score} (${scoreRange?.join(" to ")}); ${times.map(({ ms, shippedMs }) => `${ms} ms, shipped ${shippedMs}`).join("; ")}`,
    );
    expect(refused).toBeNull();
    expect(scoreRange![1]).toBeLessThan(1);
  });

  test.each([
    ["fixed shape", fixed],
    ["constants", constant],
    ["work left out", lazy],
  ] as const)("refused: %s", async (kind, cheat) => {
    const { refused, score } = await judge(name, cheat(challenge), { seed: SEED });
    expect(refused?.kind, refused?.why).toBe(kind);
    expect(score).toBeNull();
  });
});

describe("the page", () => {
  const site = builtSite();
  const TIMEOUT = 600_000;

  const open = async (hash = ""): Promise<Page> => {
    const page = await site().browser.newPage();
    page.setDefaultTimeout(TIMEOUT);
    await page.goto(`${site().url}lab.html${hash}`, { waitUntil: "load" });
    return page;
  };
  const judgement = (page: Page) =>
    page
      .waitForFunction(() => !document.querySelector("main [role=status]")?.textContent && document.querySelector("[aria-label=Judgement]"))
      .then(() =>
        page.$eval("[aria-label=Judgement]", (e) => ({
          score: (e as HTMLElement).dataset["score"]!,
          refused: (e as HTMLElement).dataset["refused"]!,
          says: e.querySelector("h2")!.textContent!,
        })),
      );

  test("a challenge: the start's factor is measured, an edit is judged, the result is a file", { timeout: TIMEOUT }, async () => {
    const page = await open("#challenge=sum");
    const start = await judgement(page);
    console.log(`start: ${start.says}; ${await page.$eval("[data-factor]", (e) => e.textContent)}`);
    expect(Number(start.score)).toBeLessThan(1);
    await page.click('[data-editor="WGSL of the entry"] .cm-content');
    await page.keyboard.down("Control");
    await page.keyboard.press("Home");
    await page.keyboard.up("Control");
    await page.keyboard.type("// kernel: nothing\n");
    await press(page, "Judge");
    await page.waitForFunction(() => /^line 1: expected/.test(document.querySelector("[role=alert]")?.textContent ?? ""));
    await page.evaluate((text) => {
      const content = document.querySelector('[data-editor="WGSL of the entry"] .cm-content') as unknown as Content;
      const { view } = content.cmTile;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
    }, BETTER);
    await press(page, "Judge");
    const better = await judgement(page);
    console.log(`a thread per row: ${better.says}`);
    expect(better.refused).toBe("");
    expect(Number(better.score)).toBeGreaterThan(Number(start.score));
    const saved = await page.evaluate(async () => {
      const made = new Promise<Blob>((resolve) => {
        URL.createObjectURL = (blob) => (resolve(blob as Blob), "blob:none");
      });
      [...document.querySelectorAll("button")].find((b) => b.textContent === "Save the result")!.click();
      return (await made).text();
    });
    const file = challengeFile(saved);
    expect(file).toMatchObject({ challenge: "sum", entry: BETTER, refused: null });
    await page.close();
    // By the command, on this adapter.
    const path = join(site().folder, "result.json");
    await writeFile(path, saved);
    const { stdout } = await promisify(execFile)(process.execPath, ["cli/tessera.mjs", "op", "--again", path]);
    console.log(stdout.split("\n").slice(-4).join("\n"));
    expect(stdout).toContain(`: score ${file.score} (${file.scoreRange!.join(" to ")})\nseed ${file.seed}: `);
    expect(stdout).toMatch(/^score [\d.]+ \([\d.]+ to [\d.]+\): /m);
  });

  test("nothing of the challenges is loaded before they are asked for", { timeout: TIMEOUT }, async () => {
    const page = await open();
    await page.waitForSelector("[data-op]:enabled");
    const loaded = () => page.evaluate(() => performance.getEntriesByType("resource").filter(({ name }) => /challenge/.test(name)).length);
    expect(await loaded()).toBe(0);
    await page.select("[data-op]", "challenges");
    await page.waitForSelector("[data-challenge]");
    expect(await loaded()).toBeGreaterThan(0);
    await page.close();
  });
});
