/** Finds this machine's Vulkan drivers, WebGPU adapters in Node, and browsers. Installs nothing; the verb `setup` does. */
import { execFile, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { IN_REPOSITORY, shipped } from "../place.ts";
import { defaultCacheDir } from "../../bench/cache-dir.ts";
import { writeAtomic } from "./files.ts";

const PROBE = fileURLToPath(new URL("./probe.mjs", import.meta.url));

export interface FoundAdapter {
  /** Vulkan driver file to force, or null for the system's own choice. */
  readonly icd: string | null;
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly software: boolean;
  readonly features: readonly string[];
}

export interface Setup {
  /** The adapter that Node uses by default; null where only a browser has one. */
  readonly node: FoundAdapter | null;
  readonly lavapipeIcd: string | null;
  readonly swiftshaderIcd: string | null;
  readonly chromium: { readonly path: string; readonly version: string } | null;
}

type Probed = Omit<FoundAdapter, "icd"> | { readonly error: string };

/** Files that keep what was found: in the repository; in the user's cache folder if there is no repository or another user owns it. */
const setupFiles = (): string[] => [...(IN_REPOSITORY ? [shipped(".cache/setup.json")] : []), join(defaultCacheDir(), "setup.json")];

/** The set-up command named in messages. */
export const RUN_SETUP = `run: ${IN_REPOSITORY ? "npm run -s tessera --" : "npx tessera"} setup`;

/** Mesa before 23 lacks Vulkan features that Dawn requires (and f16). */
export const OLDEST_MESA = 23;

/** Output of a command, or null where it is missing, fails, or takes too long. */
function output(command: string, args: readonly string[], timeout = 10_000): Promise<string | null> {
  return new Promise((resolve) => {
    execFile(command, args, { timeout }, (error, stdout) => resolve(error ? null : stdout.trim()));
  });
}

/** The adapter that Dawn opens in Node with the driver file `icd`, or with the system's own choice where null. */
function probeNode(icd: string | null, timeoutMs = 60_000): Promise<Probed> {
  return new Promise((resolve) => {
    const env = { ...process.env };
    if (icd) {
      env["VK_ICD_FILENAMES"] = icd;
      delete env["VK_DRIVER_FILES"]; // it would win over VK_ICD_FILENAMES
    }
    env["XDG_RUNTIME_DIR"] ??= tmpdir();
    const child = spawn(process.execPath, [PROBE], { env, stdio: ["ignore", "pipe", "ignore"], timeout: timeoutMs, killSignal: "SIGKILL" });
    let text = "";
    child.stdout.on("data", (chunk) => (text += chunk));
    child.on("error", (error) => resolve({ error: error.message }));
    child.on("close", (code, signal) => {
      const line = text.split("\n").find((l) => l.startsWith("{"));
      resolve(line ? (JSON.parse(line) as Probed) : { error: `the probe ended with ${signal ?? `code ${code}`}` });
    });
  });
}

/** Vulkan driver files: `lavapipe` (Mesa on the CPU) and `swiftshader` (beside a Chromium), each a path or null. */
export function findVulkan(chromium?: string): { lavapipe: string | null; swiftshader: string | null } {
  if (process.platform !== "linux") return { lavapipe: null, swiftshader: null };
  const data = [
    process.env["XDG_DATA_HOME"] ?? join(homedir(), ".local/share"),
    "/etc",
    "/usr/local/share",
    "/usr/share",
    ...(process.env["XDG_DATA_DIRS"] ?? "").split(delimiter),
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
  const names: Partial<Record<string, string>> = { x64: "x86_64", arm64: "aarch64", ia32: "i686" };
  const arch = names[process.arch] ?? process.arch;
  const lavapipe = drivers.find((f) => f.includes(`.${arch}.`)) ?? drivers.find((f) => f.endsWith("lvp_icd.json")) ?? null;
  const beside = chromium ? [dirname(realpathSync(chromium))] : [];
  const swiftshader =
    [...beside, "/usr/lib/chromium", "/usr/lib64/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome"]
      .map((d) => join(d, "vk_swiftshader_icd.json"))
      .find(existsSync) ?? null;
  return { lavapipe, swiftshader };
}

/** Mesa's major version, from an adapter's description; null where it is not Mesa. */
function mesaVersion(description: string | undefined): number | null {
  const match = /Mesa (\d+)/.exec(description ?? "");
  return match ? Number(match[1]) : null;
}

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome", "msedge"];

function candidates(): string[] {
  const named = [process.env["CHROME_PATH"], process.env["PUPPETEER_EXECUTABLE_PATH"]].filter((path) => path !== undefined);
  if (process.platform === "darwin") {
    const apps = ["Google Chrome", "Chromium", "Microsoft Edge"].map((n) => `Applications/${n}.app/Contents/MacOS/${n}`);
    return [...named, ...apps.map((a) => `/${a}`), ...apps.map((a) => join(homedir(), a))];
  }
  if (process.platform === "win32") {
    const roots = ["PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"]
      .map((name) => process.env[name])
      .filter((path) => path !== undefined);
    return [
      ...named,
      ...roots.flatMap((r) => [join(r, "Google/Chrome/Application/chrome.exe"), join(r, "Microsoft/Edge/Application/msedge.exe")]),
    ];
  }
  const path = (process.env["PATH"] ?? "").split(delimiter).filter(Boolean);
  return [
    ...named,
    ...NAMES.flatMap((n) => [...path, "/usr/bin", "/usr/local/bin", "/snap/bin"].map((d) => join(d, n))),
    "/opt/google/chrome/chrome",
  ];
}

/** The folder that puppeteer's own browsers are downloaded to. */
export const browserFolder = (): string => process.env["PUPPETEER_CACHE_DIR"] ?? join(homedir(), ".cache", "puppeteer");

/** A browser that was downloaded there, or null. */
async function downloadedBrowser(): Promise<string | null> {
  const { getInstalledBrowsers } = await import("@puppeteer/browsers");
  const found = existsSync(browserFolder()) ? await getInstalledBrowsers({ cacheDir: browserFolder() }) : [];
  return found.find(({ browser }) => browser === "chrome")?.executablePath ?? null;
}

/** An installed browser that starts: `{ path, version }`, or null. CHROME_PATH and PUPPETEER_EXECUTABLE_PATH win. */
export async function findChromium(): Promise<Setup["chromium"]> {
  for (const path of new Set(candidates())) {
    const version = await browserVersion(path);
    if (version) return { path, version };
  }
  const path = await downloadedBrowser();
  const version = path && (await browserVersion(path));
  return path && version ? { path, version } : null;
}

/** The browser's version text, or null if it does not start, for example without its libraries. */
async function browserVersion(path: string): Promise<string | null> {
  if (!existsSync(path)) return null;
  if (process.platform === "win32") return "unknown version"; // there, --version opens a window
  return output(path, ["--version"]);
}

/** Everything at once, each adapter in a process of its own. Nothing is installed, nothing is written. */
export async function look(): Promise<Setup> {
  const chromium = await findChromium();
  const { lavapipe, swiftshader } = findVulkan(chromium?.path);
  const probed = async (icd: string | null): Promise<Probed> => (icd ? probeNode(icd) : { error: "not installed" });
  const [own, lavapipeAdapter, swiftshaderAdapter] = await Promise.all([probeNode(null), probed(lavapipe), probed(swiftshader)]);
  const withIcd = (icd: string | null, adapter: Probed): FoundAdapter | null => ("error" in adapter ? null : { icd, ...adapter });
  const system = withIcd(null, own);
  const mesa = withIcd(lavapipe, lavapipeAdapter);
  const lavapipeGood = mesa !== null && (mesaVersion(mesa.description) ?? 0) >= OLDEST_MESA;
  const software = lavapipeGood ? mesa : withIcd(swiftshader, swiftshaderAdapter);
  // Elsewhere than on Linux a software adapter comes with the system (WARP on Windows).
  const other = process.platform === "linux" ? null : system;
  return {
    node: system && !system.software ? system : (software ?? other),
    lavapipeIcd: lavapipeGood ? lavapipe : null,
    swiftshaderIcd: "error" in swiftshaderAdapter ? null : swiftshader,
    chromium,
  };
}

/** The kept findings, or null if there are none or what they name is gone. */
export function readSetup(): Setup | null {
  for (const file of setupFiles()) {
    try {
      const found = JSON.parse(readFileSync(file, "utf8")) as Setup;
      const files = [found.node?.icd, found.lavapipeIcd, found.swiftshaderIcd, found.chromium?.path];
      if (files.every((path) => !path || existsSync(path))) return found;
    } catch {
      // none here
    }
  }
  return null;
}

/** Keeps what was found, for the verbs and the tests. Resolves to the file, or to null if no folder is writable; every command then searches anew. */
export async function writeSetup(found: Setup): Promise<string | null> {
  for (const file of setupFiles()) {
    try {
      await writeAtomic(file, new TextEncoder().encode(`${JSON.stringify(found, null, 2)}\n`));
      return file;
    } catch {
      // the next one
    }
  }
  return null;
}

/** The kept findings; searches now if there are none. */
export async function knownSetup(): Promise<Setup> {
  const known = readSetup();
  if (known) return known;
  const found = await look();
  await writeSetup(found);
  return found;
}
