/** What this machine has: Vulkan drivers, WebGPU adapters in Node, browsers. Looks only; `setup.mjs` installs. */
import { execFile, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PROBE = fileURLToPath(new URL("./probe.mjs", import.meta.url));

/** Where set-up leaves what it found. */
export const SETUP_FILE = join(ROOT, ".cache", "setup.json");

/** Mesa before 23 lacks what Dawn wants of a Vulkan driver (and f16). */
export const OLDEST_MESA = 23;

/** Output of a command, or null where it is missing, fails, or takes too long. */
function output(command, args, timeout = 10_000) {
  return new Promise((resolve) => {
    execFile(command, args, { timeout }, (error, stdout) => resolve(error ? null : stdout.trim()));
  });
}

/** The adapter that Dawn opens in Node with the driver file `icd`, or with the system's own choice where null. */
export function probeNode(icd, timeoutMs = 60_000) {
  return new Promise((resolve) => {
    const env = { ...process.env };
    if (icd) {
      env.VK_ICD_FILENAMES = icd;
      delete env.VK_DRIVER_FILES; // it would win over VK_ICD_FILENAMES
    }
    env.XDG_RUNTIME_DIR ??= tmpdir();
    const child = spawn(process.execPath, [PROBE], { env, stdio: ["ignore", "pipe", "ignore"], timeout: timeoutMs, killSignal: "SIGKILL" });
    let text = "";
    child.stdout.on("data", (chunk) => (text += chunk));
    child.on("error", (error) => resolve({ error: error.message }));
    child.on("close", (code, signal) => {
      const line = text.split("\n").find((l) => l.startsWith("{"));
      resolve(line ? JSON.parse(line) : { error: `the probe ended with ${signal ?? `code ${code}`}` });
    });
  });
}

/** Vulkan driver files: `lavapipe` (Mesa on the CPU) and `swiftshader` (beside a Chromium), each a path or null. */
export function findVulkan(chromium = null) {
  if (process.platform !== "linux") return { lavapipe: null, swiftshader: null };
  const data = [
    process.env.XDG_DATA_HOME ?? join(homedir(), ".local/share"),
    "/etc",
    "/usr/local/share",
    "/usr/share",
    ...(process.env.XDG_DATA_DIRS ?? "").split(delimiter),
  ];
  const drivers = data
    .filter(Boolean)
    .map((d) => join(d, "vulkan/icd.d"))
    .filter(existsSync)
    .flatMap((d) =>
      readdirSync(d)
        .filter((f) => /^lvp_icd.*\.json$/.test(f))
        .map((f) => join(d, f)),
    );
  // Some distributions ship one file per architecture.
  const arch = { x64: "x86_64", arm64: "aarch64", ia32: "i686" }[process.arch] ?? process.arch;
  const lavapipe = drivers.find((f) => f.includes(`.${arch}.`)) ?? drivers.find((f) => f.endsWith("lvp_icd.json")) ?? null;
  const beside = chromium ? [dirname(realpathSync(chromium))] : [];
  const swiftshader =
    [...beside, "/usr/lib/chromium", "/usr/lib64/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome"]
      .map((d) => join(d, "vk_swiftshader_icd.json"))
      .find(existsSync) ?? null;
  return { lavapipe, swiftshader };
}

/** Mesa's major version, from an adapter's description; null where it is not Mesa. */
export function mesaVersion(description) {
  const match = /Mesa (\d+)/.exec(description ?? "");
  return match ? Number(match[1]) : null;
}

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome", "msedge"];

function candidates() {
  const named = [process.env.CHROME_PATH, process.env.PUPPETEER_EXECUTABLE_PATH];
  if (process.platform === "darwin") {
    const apps = ["Google Chrome", "Chromium", "Microsoft Edge"].map((n) => `Applications/${n}.app/Contents/MacOS/${n}`);
    return [...named, ...apps.map((a) => `/${a}`), ...apps.map((a) => join(homedir(), a))];
  }
  if (process.platform === "win32") {
    const roots = [process.env.PROGRAMFILES, process.env["PROGRAMFILES(X86)"], process.env.LOCALAPPDATA].filter(Boolean);
    return [
      ...named,
      ...roots.flatMap((r) => [join(r, "Google/Chrome/Application/chrome.exe"), join(r, "Microsoft/Edge/Application/msedge.exe")]),
    ];
  }
  const path = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  return [
    ...named,
    ...NAMES.flatMap((n) => [...path, "/usr/bin", "/usr/local/bin", "/snap/bin"].map((d) => join(d, n))),
    "/opt/google/chrome/chrome",
  ];
}

/** Where puppeteer keeps the browser it would download, or null where that is not there. */
async function puppeteerPath() {
  try {
    const { default: puppeteer } = await import("puppeteer");
    const path = await puppeteer.executablePath();
    return existsSync(path) ? path : null;
  } catch {
    return null;
  }
}

/** An installed browser that starts: `{ path, version }`, or null. CHROME_PATH and PUPPETEER_EXECUTABLE_PATH win. */
export async function findChromium() {
  for (const path of new Set(candidates())) {
    const version = path && (await browserVersion(path));
    if (version) return { path, version };
  }
  const path = await puppeteerPath();
  const version = path && (await browserVersion(path));
  return version ? { path, version } : null;
}

/** What the browser says it is, or null: a browser without its libraries is no browser. */
function browserVersion(path) {
  if (!existsSync(path)) return null;
  if (process.platform === "win32") return "unknown version"; // there, --version opens a window
  return output(path, ["--version"]);
}

/** Everything at once, each adapter in a process of its own. Nothing is installed, nothing is written. */
export async function look() {
  const chromium = await findChromium();
  const { lavapipe, swiftshader } = findVulkan(chromium?.path);
  const probed = async (icd) => (icd ? probeNode(icd) : { error: "not installed" });
  const [own, lavapipeAdapter, swiftshaderAdapter] = await Promise.all([probeNode(null), probed(lavapipe), probed(swiftshader)]);
  const lavapipeGood = !lavapipeAdapter.error && (mesaVersion(lavapipeAdapter.description) ?? 0) >= OLDEST_MESA;
  const gpu = !own.error && !own.software ? { icd: null, ...own } : null;
  const software = lavapipeGood
    ? { icd: lavapipe, ...lavapipeAdapter }
    : !swiftshaderAdapter.error
      ? { icd: swiftshader, ...swiftshaderAdapter }
      : null;
  // Elsewhere than on Linux a software adapter comes with the system (WARP on Windows).
  const other = process.platform !== "linux" && !own.error ? { icd: null, ...own } : null;
  return {
    node: gpu ?? software ?? other,
    lavapipeIcd: lavapipeGood ? lavapipe : null,
    swiftshaderIcd: swiftshaderAdapter.error ? null : swiftshader,
    chromium,
  };
}

/** What set-up found the last time, or null where there is nothing or it has gone since. */
export function readSetup() {
  try {
    const found = JSON.parse(readFileSync(SETUP_FILE, "utf8"));
    const files = [found.node?.icd, found.lavapipeIcd, found.swiftshaderIcd, found.chromium?.path].filter(Boolean);
    return files.every(existsSync) ? found : null;
  } catch {
    return null;
  }
}

/** Keeps what was found for the verbs and the tests. */
export async function writeSetup(found) {
  await mkdir(dirname(SETUP_FILE), { recursive: true });
  const temporary = `${SETUP_FILE}.${process.pid}`;
  await writeFile(temporary, `${JSON.stringify(found, null, 2)}\n`);
  await rename(temporary, SETUP_FILE);
}

/** What set-up found, looking now where it has not run. */
export async function knownSetup() {
  const known = readSetup();
  if (known) return known;
  const found = await look();
  await writeSetup(found);
  return found;
}
