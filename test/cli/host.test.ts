import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openChromium, type Chromium } from "../../cli/node/chromium.ts";
import { nodeHost } from "../../cli/node/host.ts";
import { duration } from "../../jobs/files/duration.ts";

const folder = await mkdtemp(join(tmpdir(), "tessera-host-"));
const host = nodeHost();
let chromium: Chromium | undefined;
afterAll(async () => {
  await chromium?.close();
  await rm(folder, { recursive: true });
});

test("writeFile makes the folder, replaces the file, and leaves nothing beside it", async () => {
  const path = join(folder, "a/b/out.bin");
  await host.writeFile(path, Uint8Array.of(1, 2, 3));
  await host.writeFile(path, Uint8Array.of(4));
  expect([...(await host.readFile(path))]).toEqual([4]);
  expect(await readdir(join(folder, "a/b"))).toEqual(["out.bin"]);
});

test("a write that fails leaves the folder as it was", async () => {
  await expect(host.writeFile(folder, Uint8Array.of(1))).rejects.toThrow();
  expect((await readdir(tmpdir())).filter((name) => name.startsWith(".tessera-host-"))).toEqual([]);
});

test("readFile of nothing is bad input", async () => {
  await expect(host.readFile(join(folder, "none"))).rejects.toMatchObject({
    name: "UsageError",
    message: expect.stringMatching(/expected a file that can be read at ".*none", got ENOENT/),
  });
});

test("in a page: bytes come and go unchanged, and errors keep their kind", async () => {
  const [from, to] = [join(folder, "from ü&?.bin"), join(folder, "to.bin")];
  const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) % 256);
  await writeFile(from, bytes);
  const logged: unknown[] = [];
  chromium = await openChromium({ host: nodeHost((event) => logged.push(event)) });
  expect(await chromium.runJob("/test/copy-job.ts", { from, to })).toEqual({ bytes: 300_000, exists: [true, false] });
  expect(Buffer.compare(await readFile(to), bytes)).toBe(0);
  expect(logged).toEqual([{ copied: 300_000 }]);
  await expect(chromium.runJob("/test/copy-job.ts", { from: join(folder, "none"), to })).rejects.toMatchObject({ name: "UsageError" });
});

test("the files are the page's alone", async () => {
  const { origin } = new URL(chromium!.page.url());
  expect((await fetch(`${origin}/__file/wrong?path=${encodeURIComponent(join(folder, "to.bin"))}`)).status).toBe(403);
});

test("duration: seconds, minutes, hours, unknown", () => {
  expect([0.2, 65, 3601, NaN].map(duration)).toEqual(["0:01", "1:05", "1:00:01", "?"]);
});
