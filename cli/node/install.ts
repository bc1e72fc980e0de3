/** Installs what a machine lacks: a browser by puppeteer's download, packages by apt-get on Debian and Ubuntu. Prints every step on stdout. */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { OLDEST_MESA } from "./find.ts";
import { print } from "../output.ts";

export interface Debian {
  readonly id: "debian" | "ubuntu";
  /** Empty where /etc/os-release names none. */
  readonly codename: string;
}

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds without output after which the command is ended. Leave it out for commands that must not be interrupted. */
  readonly stallMs?: number;
}

/** Runs a command and shows its output, indented; resolves to whether it succeeded. */
function run(command: string, args: readonly string[], { env = {}, stallMs }: RunOptions = {}): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    let stall: NodeJS.Timeout | undefined;
    const heard = (text: string): void => {
      for (const line of text.split(/[\r\n]+/)) if (line.trim()) print(`  ${line}\n`);
      clearTimeout(stall);
      if (stallMs) stall = setTimeout(() => child.kill("SIGKILL"), stallMs);
    };
    heard("");
    child.stdout.on("data", (chunk) => heard(String(chunk)));
    child.stderr.on("data", (chunk) => heard(String(chunk)));
    const done = (ok: boolean): void => {
      clearTimeout(stall);
      resolve(ok);
    };
    child.on("error", () => done(false));
    child.on("close", (code) => done(code === 0));
  });
}

/** This machine's Debian, Ubuntu or derived distribution, or null. */
export function debian(): Debian | null {
  if (process.platform !== "linux" || !existsSync("/etc/os-release") || !existsSync("/usr/bin/apt-get")) return null;
  const field = (name: string): string => new RegExp(`^${name}="?([^"\n]*)`, "m").exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "";
  return { id: field("ID") === "debian" ? "debian" : "ubuntu", codename: field("VERSION_CODENAME") };
}

/** Puppeteer's own browser, `withLibraries` also the system's libraries for it (root). Gives up when nothing arrives: a network may drop packets. */
export function downloadBrowser(withLibraries: boolean): Promise<boolean> {
  const script = fileURLToPath(new URL("./download-browser.mjs", import.meta.url));
  const args = withLibraries ? [script, "--deps"] : [script];
  return run(process.execPath, args, withLibraries ? {} : { stallMs: 20_000 });
}

const APT = ["-q", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=30"];

/** No time limit: a kill inside dpkg would leave packages half configured. apt-get limits its downloads itself. */
const apt = (...args: readonly string[]): Promise<boolean> =>
  run("apt-get", [...APT, ...args], { env: { DEBIAN_FRONTEND: "noninteractive" } });

const install = (...packages: readonly string[]): Promise<boolean> => apt("install", "-y", "--no-install-recommends", ...packages);

/** Major version of the Mesa that apt would install by itself, or 0. */
function aptMesa(): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn("apt-cache", ["policy", "mesa-vulkan-drivers"], { env: { ...process.env, LC_ALL: "C" } });
    let text = "";
    child.stdout.on("data", (chunk) => (text += String(chunk)));
    child.on("error", () => resolve(0));
    child.on("close", () => resolve(Number(/Candidate: (?:\d+:)?(\d+)/.exec(text)?.[1] ?? 0)));
  });
}

const SOURCES = "/etc/apt/sources.list.d";

function hasSource(suite: string): boolean {
  const listed = existsSync(SOURCES) ? readdirSync(SOURCES).filter((name) => /\.(list|sources)$/.test(name)) : [];
  return [...listed.map((name) => join(SOURCES, name)), "/etc/apt/sources.list"].filter(existsSync).some((file) =>
    readFileSync(file, "utf8")
      .split("\n")
      .some((line) => !line.trim().startsWith("#") && line.includes(suite)),
  );
}

/** The text of an apt source for a Debian's backports. */
const backportsSource = (
  suite: string,
): string => `# Added by tessera's set-up for a Mesa of version ${OLDEST_MESA} or later; remove this file to undo it.
Types: deb
URIs: http://deb.debian.org/debian
Suites: ${suite}
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`;

/** Installs Vulkan on the CPU (Mesa). An apt source added for it is removed if the installation fails. */
export async function installVulkan({ id, codename }: Debian): Promise<boolean> {
  const packages = ["mesa-vulkan-drivers", "libvulkan1"];
  if (!(await apt("update"))) print("setup: apt-get update had errors; going on with what it has\n");
  if (id !== "debian" || codename === "" || (await aptMesa()) >= OLDEST_MESA) return install(...packages);
  const suite = `${codename}-backports`;
  if (hasSource(suite)) return install("-t", suite, ...packages);
  const file = join(SOURCES, `tessera-${suite}.sources`);
  print(`setup: this Debian's own Mesa is older than ${OLDEST_MESA}; adding ${file}\n`);
  await writeFile(file, backportsSource(suite));
  if ((await apt("update")) && (await install("-t", suite, ...packages))) return true;
  print(`setup: that did not help; removing ${file}\n`);
  await rm(file, { force: true });
  await apt("update");
  return install(...packages);
}

/** A browser with its libraries. Ubuntu's chromium package is a snap, which containers cannot run. */
export async function installBrowser({ id }: Debian): Promise<boolean> {
  await apt("update");
  return id === "debian" ? install("chromium") : downloadBrowser(true);
}
