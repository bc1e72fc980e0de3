/** Node's store: a file that is replaced whole or not at all. Those of a browser: test/app/library.test.ts. */
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { folder } from "../../tasks/node.ts";

let at: string;
beforeAll(async () => {
  at = await mkdtemp(join(tmpdir(), "stores-"));
});
afterAll(() => rm(at, { recursive: true, force: true }));

test("folder() keeps the last file that was set, in folders that it makes, and leaves nothing beside it", async () => {
  const store = folder(join(at, "runs/mine/state.bin"));
  expect(await store.get()).toBeNull();
  await store.set(new Uint8Array(1000).fill(7));
  await store.set(Uint8Array.of(1, 2, 3));
  expect(await store.get()).toEqual(Uint8Array.of(1, 2, 3));
  expect(await readdir(join(at, "runs/mine"))).toEqual(["state.bin"]);
  await store.delete();
  await store.delete();
  expect(await store.get()).toBeNull();
});

test("folder() that cannot write says so, and hands back what it was to hold", async () => {
  await writeFile(join(at, "a file"), "");
  const store = folder(join(at, "a file/state.bin"));
  const bytes = Uint8Array.of(4, 5);
  await expect(store.set(bytes)).rejects.toMatchObject({ name: "StoreError", checkpoint: bytes });
  await expect(store.set(bytes)).rejects.toThrow(/^folder: expected room for 2 bytes in .*state\.bin, got /);
  await expect(folder(at).get()).rejects.toMatchObject({ name: "StoreError" });
});
