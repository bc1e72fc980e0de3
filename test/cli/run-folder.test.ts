/** A run's folder is held by one process at a time, and cleared of what killed writers left. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { withRunFolder } from "../../cli/node/run-folder.ts";

const root = mkdtempSync(join(tmpdir(), "tessera-folder-"));
const lock = (folder: string) => join(folder, ".lock");
const files = (folder: string) => () => Promise.resolve(readdirSync(folder).sort());

test("held while a run is in it; a second one is refused with the holder's number", async () => {
  const folder = join(root, "a/held");
  await withRunFolder(folder, async () => {
    await expect(withRunFolder(folder, async () => undefined)).rejects.toMatchObject({
      name: "UsageError",
      message: expect.stringMatching(new RegExp(`no other run writes to, got .*held, held by process ${process.pid} on ${hostname()} `)),
    });
    writeFileSync(join(folder, "model.safetensors"), "");
  });
  expect(await withRunFolder(folder, files(folder))).toEqual([".lock", "model.safetensors"]);
  expect(existsSync(lock(folder))).toBe(false);
});

test.each([
  ["a process that is gone", JSON.stringify({ pid: 2 ** 22 + 1, host: hostname(), began: null })],
  ["a process whose number another has now", JSON.stringify({ pid: process.pid, host: hostname(), began: "0" })],
  ["nobody: the file is torn", '{"pid":1'],
])("a lock of %s is taken over", async (_, content) => {
  const folder = join(root, "stale");
  mkdirSync(folder, { recursive: true });
  writeFileSync(lock(folder), content);
  expect(await withRunFolder(folder, files(folder))).toEqual([".lock"]);
});

test("a lock of another machine stands", async () => {
  const folder = join(root, "elsewhere");
  mkdirSync(folder);
  writeFileSync(lock(folder), JSON.stringify({ pid: 1, host: "elsewhere", began: null }));
  await expect(withRunFolder(folder, async () => undefined)).rejects.toThrow(
    /held by process 1 on elsewhere \(if that is gone, remove .*\.lock\)/,
  );
});

test("what killed writers left is removed, and nothing else", async () => {
  const folder = join(root, "litter");
  mkdirSync(folder);
  const kept = ["checkpoint.safetensors", ".notes.0123456789ab", ".checkpoint.safetensors.old"];
  for (const name of [
    ...kept,
    ".checkpoint.safetensors.0123456789ab",
    ".metrics.jsonl.00112233aabb",
    ".model_ema.safetensors.ffffffffffff",
  ])
    writeFileSync(join(folder, name), "");
  expect(await withRunFolder(folder, files(folder))).toEqual([...kept, ".lock"].sort());
});

test("a folder that a run made and left empty is gone with it; one that cannot be made is refused", async () => {
  await expect(withRunFolder(join(root, "new/deep"), () => Promise.reject(new Error("bad input")))).rejects.toThrow("bad input");
  expect(existsSync(join(root, "new"))).toBe(false);
  writeFileSync(join(root, "file"), "");
  for (const [folder, code] of [
    [join(root, "file/run"), "ENOTDIR"],
    ["/proc/nope/run", "E(NOENT|ACCES|PERM)"],
  ] as const)
    await expect(withRunFolder(folder, async () => undefined)).rejects.toMatchObject({
      name: "UsageError",
      message: expect.stringMatching(new RegExp(`^expected a folder that can be written, got .*run \\(${code}\\)$`)),
    });
});

test("what ended a run is told where the folder cannot be given back", async () => {
  const folder = join(root, "kept");
  const run = withRunFolder(folder, async () => {
    rmSync(lock(folder));
    mkdirSync(lock(folder)); // which no file's removal removes
    throw new Error("no room");
  });
  await expect(run).rejects.toThrow("no room");
});
