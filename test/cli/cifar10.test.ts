import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { defaultCacheDir } from "../../bench/cache-dir.ts";
import { fetchCifar10, toRecords } from "../../cli/node/data/cifar10.ts";

test("toRecords: label first, then red, green and blue planes", () => {
  const rgb = Uint8Array.from({ length: 2 * 3072 }, (_, i) => (i % 3) * 80 + Math.floor(i / 3072));
  const records = toRecords(rgb, [4, 9]);
  expect(records.length).toBe(2 * 3073);
  expect([0, 1, 1024, 1025, 2049, 3072].map((i) => records[i])).toEqual([4, 0, 0, 80, 160, 160]);
  expect([0, 1, 1025, 2049].map((i) => records[3073 + i])).toEqual([9, 1, 81, 161]);
});

test("fetchCifar10: refuses another archive and leaves nothing behind", async () => {
  const dir = await mkdtemp(join(tmpdir(), "tessera-"));
  try {
    const archive = join(dir, "other.tgz");
    await expect(fetchCifar10({ dir: join(dir, "cache"), archive })).rejects.toThrow(
      /^cifar10: expected .*other\.tgz with SHA-256 141f\w+, got no file$/,
    );
    await writeFile(archive, "not it");
    await expect(fetchCifar10({ dir: join(dir, "cache"), archive })).rejects.toThrow(
      /^cifar10: expected .*other\.tgz with SHA-256 141f\w+, got [0-9a-f]{64}$/,
    );
    expect(await readdir(join(dir, "cache"))).toEqual([]);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

test("defaultCacheDir: TESSERA_CACHE, then XDG_CACHE_HOME, then the home folder", () => {
  expect(defaultCacheDir({ TESSERA_CACHE: "/a", XDG_CACHE_HOME: "/b" })).toBe("/a");
  expect(defaultCacheDir({ XDG_CACHE_HOME: "/b" })).toBe(join("/b", "tessera"));
  expect(defaultCacheDir({})).toMatch(/\.cache.tessera$/);
});
