#!/usr/bin/env node
/**
 * Set-up: finds a WebGPU adapter (and, with --tests, a browser), and gets one where there is none.
 *
 *   node cli/setup.mjs [--tests] [--no-install]
 *
 * In this order: a GPU through Dawn in Node, Vulkan on the CPU (Mesa's lavapipe, else a Chromium's SwiftShader), an
 * installed Chrome or Chromium, the browser that puppeteer downloads, and on Debian or Ubuntu as root what apt has.
 * Leaves what it found in .cache/setup.json. Exits 1, with the one command to run, where nothing works.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, readdirSync, realpathSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SETUP_FILE, findChromium, findVulkan, look, OLDEST_MESA, writeSetup } from "./find.mjs";

export { findChromium, findVulkan };

const say = (line) => console.log(`setup: ${line}`);
const describe = (adapter) => `${adapter.description} (${adapter.software ? "SOFTWARE adapter, runs on the CPU" : "GPU"})`;

/** Runs a command, its output shown; resolves to whether it succeeded. `stallMs`: killed when silent for so long. */
function run(command, args, { env = {}, timeoutMs = 600_000, stallMs = 0 } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    const total = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    let stall;
    const heard = (chunk) => {
      for (const line of String(chunk)
        .split(/[\r\n]+/)
        .filter((l) => l.trim()))
        console.log(`  ${line}`);
      clearTimeout(stall);
      if (stallMs) stall = setTimeout(() => child.kill("SIGKILL"), stallMs);
    };
    heard("");
    child.stdout.on("data", heard);
    child.stderr.on("data", heard);
    const done = (ok) => {
      clearTimeout(total);
      clearTimeout(stall);
      resolve(ok);
    };
    child.on("error", () => done(false));
    child.on("close", (code) => done(code === 0));
  });
}

/** ID and codename of a Debian or Ubuntu (or one derived from them), or null. */
function debian() {
  if (!existsSync("/etc/os-release") || !existsSync("/usr/bin/apt-get")) return null;
  const fields = Object.fromEntries(
    readFileSync("/etc/os-release", "utf8")
      .split("\n")
      .map((l) => l.split("="))
      .filter((p) => p.length === 2)
      .map(([key, value]) => [key, value.replaceAll('"', "")]),
  );
  return { id: fields.ID === "debian" ? "debian" : "ubuntu", codename: fields.VERSION_CODENAME ?? "" };
}

const isRoot = () => process.getuid?.() === 0;

/** Puppeteer's own browser. Gives up after 20 s of silence: a network that drops packets would hold up everything. */
async function downloadBrowser(deps) {
  say("downloading the browser that puppeteer was made for");
  const script = fileURLToPath(new URL("./download-browser.mjs", import.meta.url));
  const ok = await run(process.execPath, [script, ...(deps ? ["--deps"] : [])], { timeoutMs: 300_000, stallMs: deps ? 60_000 : 20_000 });
  if (!ok) say("that download did not work");
  return ok;
}

const APT = ["-q", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=30"];
const apt = (...args) => run("apt-get", [...APT, ...args], { env: { DEBIAN_FRONTEND: "noninteractive" }, timeoutMs: 900_000 });

/** Major version of the Mesa that apt would install by itself, or 0. */
function aptMesa() {
  return new Promise((resolve) => {
    const child = spawn("apt-cache", ["policy", "mesa-vulkan-drivers"], { env: { ...process.env, LC_ALL: "C" } });
    let text = "";
    child.stdout.on("data", (chunk) => (text += chunk));
    child.on("error", () => resolve(0));
    child.on("close", () => resolve(Number(/Candidate: (?:\d+:)?(\d+)/.exec(text)?.[1] ?? 0)));
  });
}

function hasSource(suite) {
  const folder = "/etc/apt/sources.list.d";
  const files = [
    ...(existsSync(folder)
      ? readdirSync(folder)
          .filter((f) => /\.(list|sources)$/.test(f))
          .map((f) => join(folder, f))
      : []),
    "/etc/apt/sources.list",
  ];
  return files.filter(existsSync).some((f) =>
    readFileSync(f, "utf8")
      .split("\n")
      .some((l) => !l.trim().startsWith("#") && l.includes(suite)),
  );
}

/** Installs Vulkan on the CPU and/or a browser from the distribution. */
async function aptInstall(system, { vulkan, browser }) {
  say(`installing with apt-get: ${[vulkan && "mesa-vulkan-drivers libvulkan1", browser && "chromium"].filter(Boolean).join(" ")}`);
  if (!(await apt("update"))) say("apt-get update had errors; going on with what it has");
  if (vulkan) {
    const backports = `${system.codename}-backports`;
    let from = [];
    if (system.id === "debian" && (await aptMesa()) < OLDEST_MESA) {
      if (!hasSource(backports)) {
        const { writeFile } = await import("node:fs/promises");
        const file = `/etc/apt/sources.list.d/${backports}.list`;
        say(`this Debian's own Mesa is older than ${OLDEST_MESA}; adding ${file}`);
        await writeFile(file, `deb http://deb.debian.org/debian ${backports} main\n`);
        await apt("update");
      }
      from = ["-t", backports];
    }
    await apt("install", "-y", "--no-install-recommends", ...from, "mesa-vulkan-drivers", "libvulkan1");
  }
  if (browser) {
    // Ubuntu's chromium package is a snap, which containers cannot run.
    if (system.id === "debian") await apt("install", "-y", "--no-install-recommends", "chromium");
    else await downloadBrowser(true);
  }
}

/** Whether a headless page of this browser gets an adapter; for machines where Node has none. */
async function probeChromium(path) {
  const { default: puppeteer } = await import("puppeteer");
  const server = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html>"));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  let browser;
  try {
    const args = [
      "--no-sandbox",
      "--enable-unsafe-webgpu",
      "--use-webgpu-adapter=swiftshader",
      "--enable-unsafe-swiftshader",
      "--ignore-gpu-blocklist",
    ];
    browser = await puppeteer.launch({ executablePath: path, args, timeout: 60_000 });
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`); // WebGPU wants a secure context, which 127.0.0.1 is
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

/** The one command that gets what is missing, for this system. */
function advice(system) {
  if (system) return isRoot() ? "node cli/setup.mjs --tests" : `sudo "${process.execPath}" cli/setup.mjs --tests`;
  if (process.platform !== "linux") return "npx puppeteer browsers install chrome";
  if (existsSync("/usr/bin/dnf")) return "sudo dnf install -y mesa-vulkan-drivers vulkan-loader chromium";
  if (existsSync("/usr/bin/pacman")) return "sudo pacman -S --needed vulkan-swrast vulkan-icd-loader chromium";
  return "npx puppeteer browsers install chrome   # and a Vulkan driver: your system's package of Mesa's lavapipe";
}

/** What is still missing of what was asked for. */
function missing(found, tests) {
  // Tests want lavapipe where there is no GPU: it has f16, which SwiftShader lacks.
  const weak = found.node?.software && !found.node.features.includes("shader-f16") && process.platform === "linux";
  return { node: !found.node, vulkan: !found.node || (tests && weak), browser: tests && !found.chromium };
}

/** Looks, installs what is missing, looks again. Resolves to what was found and whether it is enough. */
export async function setup({ tests = false, install = true } = {}) {
  let found = await look();
  let lack = missing(found, tests);
  const system = process.platform === "linux" ? debian() : null;
  const canApt = install && system && isRoot();
  const browserWanted = () => lack.browser || (lack.node && !found.chromium);

  // As root on Debian the packaged browser comes with its libraries; a downloaded one would come without.
  const viaApt = canApt && (lack.vulkan || lack.browser);
  if (install && browserWanted() && !(viaApt && !existsSync("/usr/share/doc/libnss3"))) {
    if (await downloadBrowser(false)) {
      found = await look();
      lack = missing(found, tests);
    }
  }
  if (canApt && (lack.vulkan || lack.browser)) {
    await aptInstall(system, { vulkan: lack.vulkan, browser: lack.browser });
    found = await look();
    lack = missing(found, tests);
    // No Vulkan even so: a browser brings its own adapter.
    if (browserWanted()) {
      await aptInstall(system, { vulkan: false, browser: true });
      found = await look();
      lack = missing(found, tests);
    }
  }
  const inBrowser = lack.node && found.chromium ? await probeChromium(found.chromium.path) : null;
  const enough = tests ? !lack.node && !lack.browser : !lack.node || inBrowser !== null;
  return { found, lack, inBrowser, enough, system };
}

async function main() {
  const tests = process.argv.includes("--tests");
  const { found, lack, inBrowser, enough, system } = await setup({ tests, install: !process.argv.includes("--no-install") });
  if (found.node) say(`adapter in Node: ${describe(found.node)}`);
  else if (inBrowser) say(`no adapter in Node; in Chromium: ${inBrowser} (SOFTWARE adapter, runs on the CPU)`);
  if (found.chromium) say(`browser: ${found.chromium.version}, ${found.chromium.path}`);
  if (!enough) {
    const what = [
      lack.node && (tests || !inBrowser) && "a WebGPU adapter in Node",
      lack.browser && "a Chrome or Chromium that starts",
    ].filter(Boolean);
    console.error(`setup: expected ${what.join(" and ")}, found none. Run this, then try again:\n\n  ${advice(system)}\n`);
    process.exit(1);
  }
  if (lack.vulkan && found.node) say("no f16 on this adapter: the tests of f16 kernels will be skipped, each saying so");
  await writeSetup(found);
  say(`written to ${SETUP_FILE}`);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main().then(
    () => process.exit(0),
    (error) => {
      console.error(`setup: ${error.stack ?? error}`);
      process.exit(1);
    },
  );
}
