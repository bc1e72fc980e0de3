/**
 * `npm run pack:gpu`: one archive that runs the benchmark on a bare Linux x64 machine with a GPU and no network. It has Node
 * itself, Dawn, the Vulkan loader and what that needs, the project and tfjs bundled, and run.sh. Run on Linux x64.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { bundleRival, installRivals } from "../rivals.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
export const ARCHIVE = join(root, "build/gpu/tessera-gpu-bench.tar.gz");
const MOST_BYTES = 60e6;

/**
 * What a bare machine may lack: the loader; what NVIDIA's driver links to; what Node and Dawn do. Libraries of the C runtime stay the
 * machine's.
 */
const LIBRARIES = [
  "libvulkan.so.1",
  "libX11.so.6",
  "libXext.so.6",
  "libxcb.so.1",
  "libXau.so.6",
  "libXdmcp.so.6",
  "libbsd.so.0",
  "libmd.so.0",
  "libGLdispatch.so.0",
  "libGLX.so.0",
  "libGL.so.1",
  "libEGL.so.1",
  "libOpenGL.so.0",
  "libGLESv2.so.2",
  "libstdc++.so.6",
  "libgcc_s.so.1",
];
const NEEDED = ["libvulkan.so.1", "libstdc++.so.6", "libgcc_s.so.1"];

/** Where the system's loader finds libraries, by name. */
function systemLibraries(): Map<string, string> {
  const text = execFileSync("/sbin/ldconfig", ["-p"], { encoding: "utf8" });
  return new Map([...text.matchAll(/^\s*(\S+) \([^)]*x86-64[^)]*\) => (\S+)$/gm)].map(([, name, path]) => [name!, path!]));
}

/** The project's steps as one bundle, so that no TypeScript and no package is needed there but Dawn's. */
export async function bundleSteps(to: string): Promise<void> {
  await build({
    configFile: false,
    root,
    logLevel: "error",
    ssr: { noExternal: true, external: ["webgpu", "sharp"], target: "node" },
    build: {
      ssr: true,
      outDir: to,
      emptyOutDir: true,
      minify: false,
      target: "esnext",
      copyPublicDir: false,
      rolldownOptions: {
        input: join(root, "bench/gpu/main.ts"),
        output: { format: "es", entryFileNames: "[name].mjs", chunkFileNames: "[name]-[hash].mjs" },
      },
    },
  });
}

export async function pack(say: (message: string) => void): Promise<number> {
  if (process.platform !== "linux" || process.arch !== "x64")
    throw new Error(`pack:gpu: expected Linux x64, which it packs for, got ${process.platform} ${process.arch}`);
  const parent = join(root, "build/gpu"),
    folder = join(parent, "tessera-gpu-bench");
  rmSync(folder, { recursive: true, force: true });
  for (const name of ["bin", "lib", "rivals", "node_modules/webgpu/dist/linux-x64"]) mkdirSync(join(folder, name), { recursive: true });

  say("bundling the steps");
  await bundleSteps(join(folder, "js"));
  say("bundling tfjs");
  await installRivals(say);
  copyFileSync(fileURLToPath(await bundleRival("tfjs", "node")), join(folder, "rivals/tfjs.mjs"));

  copyFileSync(process.execPath, join(folder, "bin/node"));
  const webgpu = join(root, "node_modules/webgpu");
  for (const file of ["package.json", "index.js", "LICENSE.md", "dist/linux-x64/dawn.node"])
    copyFileSync(join(webgpu, file), join(folder, "node_modules/webgpu", file));
  const libraries = systemLibraries();
  for (const name of LIBRARIES) {
    const path = libraries.get(name);
    if (path) copyFileSync(realpathSync(path), join(folder, "lib", name));
    else if (NEEDED.includes(name))
      throw new Error(`pack:gpu: expected ${name} on this system, got none (Debian: apt-get install libvulkan1 libstdc++6)`);
    else say(`not packed, for it is not here: ${name}`);
  }
  for (const file of ["run.sh", "torch_models.py", "README.md"]) cpSync(join(root, "bench/gpu", file), join(folder, file));
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  writeFileSync(join(folder, "about.json"), `${JSON.stringify({ version, commit: commit(), packed: new Date().toISOString() })}\n`);

  say("compressing");
  execFileSync("tar", ["--owner=0", "--group=0", "-I", "gzip -9", "-cf", ARCHIVE, "-C", parent, basename(folder)]);
  const bytes = statSync(ARCHIVE).size;
  rmSync(folder, { recursive: true, force: true });
  if (bytes >= MOST_BYTES) throw new Error(`pack:gpu: expected less than ${MOST_BYTES / 1e6} MB, got ${(bytes / 1e6).toFixed(1)} MB`);
  return bytes;
}

function commit(): string {
  const git = (...args: string[]) => execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    return `${git("rev-parse", "--short=12", "HEAD")}${git("status", "--porcelain", "--", "engine", "kernels", "models", "train", "bench") ? "-dirty" : ""}`;
  } catch {
    return "unknown";
  }
}

if (process.argv[1] && existsSync(process.argv[1]) && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const bytes = await pack((message) => process.stderr.write(`${message}\n`));
  process.stdout.write(`${ARCHIVE}: ${(bytes / 1e6).toFixed(1)} MB\n`);
}
