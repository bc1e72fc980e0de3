/**
 * Fashion-MNIST (Xiao et al. 2017, https://arxiv.org/abs/1708.07747), four IDX files: from a folder that has them, else from Debian's package
 * dataset-fashion-mnist, which is unpacked and not installed. Node only.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "../../../train/data/idx.ts";
import { UsageError } from "../../../jobs/errors.ts";
import { writeAtomic } from "../files.ts";
import { defaultCacheDir } from "../../../bench/cache-dir.ts";

/** SHA-256 of what is in the packed files. */
const FILES: Readonly<Record<string, string>> = {
  "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
  "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
  "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
  "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
};

const PACKAGE = "dataset-fashion-mnist";
const INSTALLED = "/usr/share/datasets/fashion-mnist";

const run = promisify(execFile);

export interface FetchFashionMnistOptions {
  /** Where the files go. */
  readonly dir?: string | undefined;
  /** A folder that has the four files. */
  readonly from?: string | undefined;
  readonly log?: ((line: string) => void) | undefined;
}

/** The folder of the four checked files; fetches (about 31 MB) what is missing. */
export async function fetchFashionMnist({
  dir = join(defaultCacheDir(), "fashion-mnist"),
  from,
  log = () => {},
}: FetchFashionMnistOptions = {}): Promise<string> {
  if (from === undefined && Object.keys(FILES).every((name) => existsSync(join(dir, name)))) return dir;
  await mkdir(dir, { recursive: true });
  const source = from ?? (existsSync(join(INSTALLED, Object.keys(FILES)[0]!)) ? INSTALLED : null);
  if (source !== null) await keep(source, dir);
  else {
    const unpacked = await mkdtemp(join(tmpdir(), "fashion-mnist-"));
    try {
      log(`fashion-mnist: fetching Debian's ${PACKAGE}`);
      await run("apt-get", ["download", PACKAGE], { cwd: unpacked });
      const deb = (await readdir(unpacked)).find((name) => name.endsWith(".deb"));
      if (!deb) throw new Error("apt-get gave no file");
      await run("dpkg-deb", ["-x", deb, "."], { cwd: unpacked });
      await keep(join(unpacked, INSTALLED), dir);
    } catch (error) {
      if (error instanceof UsageError) throw error;
      throw new Error(
        `fashion-mnist: expected Debian's apt-get to fetch ${PACKAGE}, got: ${(error as Error).message.split("\n").slice(0, 2).join(" ")}. Elsewhere: --from FOLDER with ${Object.keys(FILES).join(", ")}`,
      );
    } finally {
      await rm(unpacked, { recursive: true, force: true });
    }
  }
  log(`fashion-mnist: ready in ${dir}`);
  return dir;
}

/** Copies the four files, packed or not, once all are what they should be. */
async function keep(from: string, to: string): Promise<void> {
  const whole: [string, Uint8Array][] = [];
  for (const [name, wanted] of Object.entries(FILES)) {
    const path = [name, name.replace(/\.gz$/, "")].map((n) => join(from, n)).find((p) => existsSync(p));
    if (path === undefined) throw new UsageError(`fashion-mnist: expected ${name} in ${from}, got none`);
    const bytes = Uint8Array.from(await readFile(path));
    const got = createHash("sha256")
      .update(await gunzip(bytes, path))
      .digest("hex");
    if (got !== wanted) throw new UsageError(`fashion-mnist: expected ${path} to hold SHA-256 ${wanted}, got ${got}`);
    whole.push([path.endsWith(".gz") ? name : name.replace(/\.gz$/, ""), bytes]);
  }
  for (const [name, bytes] of whole) await writeAtomic(join(to, name), bytes);
}
