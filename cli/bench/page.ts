/** The page that measures in one's own browser: built into a folder that any web server can host, or served from here. */
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { build, preview } from "vite";
import type { About } from "../../app/bench-page/page.ts";
import { copyLoaded, moduleOf, type RivalName } from "../../bench/rivals.ts";
import { isolated, ownFilesOnly } from "../node/vite.ts";
import { shipped } from "../place.ts";

/** Fills `folder` anew. The rivals' libraries have to be installed. */
export async function buildBenchPage(
  folder: string,
  rivals: readonly RivalName[],
  about: Pick<About, "version" | "commit">,
): Promise<void> {
  const root = shipped("app/bench-page"),
    outDir = resolve(folder);
  await build({
    ...ownFilesOnly,
    root,
    base: "./",
    logLevel: "error",
    build: {
      outDir,
      emptyOutDir: true,
      target: "esnext",
      modulePreload: false,
      rolldownOptions: { input: { index: join(root, "index.html"), frame: join(root, "frame.html") } },
    },
  });
  const base = join(outDir, "rivals");
  await mkdir(base, { recursive: true });
  const sized: About["rivals"][number][] = [];
  for (const name of rivals) {
    await writeFile(join(base, `${name}.mjs`), await moduleOf(name, "chromium"));
    sized.push({ name, bytes: (await stat(join(base, `${name}.mjs`))).size + (await copyLoaded(name, base)) });
  }
  await writeFile(join(outDir, "about.json"), `${JSON.stringify({ ...about, rivals: sized } satisfies About)}\n`);
}

export interface Served {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves a built page on the loopback, cross-origin isolated: needed for precise timers and WebAssembly threads. */
export async function serveBenchPage(folder: string, port = 0): Promise<Served> {
  const outDir = resolve(folder);
  if (!(await readdir(outDir)).includes("about.json")) throw new Error(`bench: expected a built page in ${folder}, got none`);
  const server = await preview({
    ...ownFilesOnly,
    root: outDir,
    appType: "mpa",
    logLevel: "error",
    build: { outDir },
    preview: { headers: isolated, host: "127.0.0.1", port, strictPort: port !== 0 },
  });
  return { url: `http://127.0.0.1:${(server.httpServer.address() as AddressInfo).port}/`, close: () => server.close() };
}
