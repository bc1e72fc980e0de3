/**
 * `tessera setup`: finds a WebGPU adapter (and, with --tests, a browser), and gets one where there is none.
 *
 * In this order: a GPU through Dawn in Node, Vulkan on the CPU (Mesa's lavapipe, else a Chromium's SwiftShader), an installed Chrome or
 * Chromium, the browser that puppeteer downloads, and on Debian or Ubuntu as root what apt has. On a terminal it asks before it installs;
 * TESSERA_NO_INSTALL=1 or --no-install forbids that. Fails, with the one command to run, where nothing works.
 */
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import { launchBrowser } from "../node/chromium.ts";
import { look, writeSetup, type FoundAdapter, type Setup } from "../node/find.ts";
import { debian, downloadBrowser, installBrowser, installVulkan, type Debian } from "../node/install.ts";
import { print } from "../output.ts";

interface Options {
  readonly tests?: boolean;
  readonly install: boolean;
}

export default function (program: Command): void {
  program
    .command("setup")
    .description("find a WebGPU adapter and a browser, and install what is missing")
    .option("--tests", "also install what the tests need: a browser besides an adapter in Node, and f16")
    .option("--no-install", "only search, install nothing; TESSERA_NO_INSTALL=1 does the same")
    .action(async ({ tests = false, install }: Options) => {
      const { found, lack, tried } = await getReady(tests, install && !process.env["TESSERA_NO_INSTALL"]);
      const inBrowser = lack.node && found.chromium ? await browserAdapter(found) : null;
      if (found.node) say(`adapter in Node: ${describe(found.node)}`);
      else if (inBrowser) say(`no adapter in Node; in Chromium: ${inBrowser} (SOFTWARE adapter, runs on the CPU)`);
      if (found.chromium) say(`browser: ${found.chromium.version}, ${found.chromium.path}`);
      const missing = [
        ...(lack.node && (tests || !inBrowser) ? ["a WebGPU adapter in Node"] : []),
        ...(lack.browser ? ["a Chrome or Chromium that starts"] : []),
      ];
      if (missing.length > 0) throw new Error(`expected ${missing.join(" and ")}, got none. Run: ${advice(debian(), tried)}`);
      if (lack.vulkan && found.node) say("no f16 on this adapter: the tests of f16 kernels will be skipped, each saying so");
      const file = await writeSetup(found);
      say(file ? `written to ${file}` : "not kept: no folder for it can be written");
    });
}

const say = (line: string): void => void print(`setup: ${line}\n`);
const describe = (adapter: FoundAdapter): string =>
  `${adapter.description} (${adapter.software ? "SOFTWARE adapter, runs on the CPU" : "GPU"})`;

interface Lack {
  readonly node: boolean;
  readonly vulkan: boolean;
  readonly browser: boolean;
}

/** The requested parts that are still missing. Without a GPU, tests need lavapipe: it has f16, which SwiftShader lacks. */
function lackOf(found: Setup, tests: boolean): Lack {
  const weak = found.node?.software && !found.node.features.includes("shader-f16") && process.platform === "linux";
  return { node: !found.node, vulkan: !found.node || (tests && weak === true), browser: tests && !found.chromium };
}

/** Looks, installs what is missing, looks again. `tried`: apt-get was run. */
async function getReady(tests: boolean, mayInstall: boolean): Promise<{ found: Setup; lack: Lack; tried: boolean }> {
  let found = await look();
  let lack = lackOf(found, tests);
  const again = async (): Promise<void> => {
    found = await look();
    lack = lackOf(found, tests);
  };
  const browserWanted = (): boolean => lack.browser || (lack.node && !found.chromium);
  const system = debian();
  const viaApt = system !== null && process.getuid?.() === 0;
  let tried = false;
  // A downloaded browser lacks its system libraries; apt's browser, as root on Debian, brings them.
  const librariesThere = existsSync("/usr/share/doc/libnss3");
  if (browserWanted() && !(viaApt && !librariesThere) && mayInstall && (await agreed("download puppeteer's browser (150 MB)"))) {
    say("downloading the browser that puppeteer was made for");
    if (await downloadBrowser(false)) await again();
    else say("that download did not work");
  }
  if (viaApt && mayInstall && lack.vulkan && (await agreed("install mesa-vulkan-drivers and libvulkan1 with apt-get"))) {
    tried = true;
    await installVulkan(system);
    await again();
  }
  if (viaApt && mayInstall && browserWanted() && (await agreed("install a browser with apt-get"))) {
    tried = true;
    await installBrowser(system);
    await again();
  }
  return { found, lack, tried };
}

/** Prints what is about to be installed; on a terminal asks first. */
async function agreed(what: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    say(`going to ${what}`);
    return true;
  }
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await terminal.question(`setup: ${what}? [Y/n] `);
  terminal.close();
  return /^(y(es)?)?$/i.test(answer.trim());
}

/** The adapter that a headless page gets, or null; for machines where Node has none. */
async function browserAdapter(found: Setup): Promise<string | null> {
  // WebGPU wants a secure context, which 127.0.0.1 is.
  const server = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html>"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  let browser: Awaited<ReturnType<typeof launchBrowser>> | undefined;
  try {
    browser = await launchBrowser("swiftshader", found);
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    return await page.evaluate(async () => {
      const adapter = await navigator.gpu?.requestAdapter();
      return adapter ? [adapter.info.vendor, adapter.info.architecture].join(" ") : null;
    });
  } catch {
    return null;
  } finally {
    await browser?.close();
    server.close();
  }
}

/** The command that installs the missing parts on this system. */
function advice(system: Debian | null, tried: boolean): string {
  const browser = "npx @puppeteer/browsers install chrome@stable";
  if (system && tried) return "apt-get update && apt-get --fix-broken install   # what failed is above; then this again";
  if (system) {
    const packages = `apt-get install mesa-vulkan-drivers libvulkan1 ${system.id === "debian" ? "chromium" : `&& ${browser}`}`;
    return process.getuid?.() === 0 ? packages : `sudo ${packages}`;
  }
  if (process.platform !== "linux") return browser;
  if (existsSync("/usr/bin/dnf")) return "sudo dnf install -y mesa-vulkan-drivers vulkan-loader chromium";
  if (existsSync("/usr/bin/pacman")) return "sudo pacman -S --needed vulkan-swrast vulkan-icd-loader chromium";
  return `${browser}   # and a Vulkan driver: your system's package of Mesa's lavapipe`;
}
