/** Files that are pipes: read where somebody writes, given up where nobody does. */
import { execFileSync, spawn } from "node:child_process";
import { constants } from "node:buffer";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readWhole } from "../../cli/node/files.ts";

const folder = mkdtempSync(join(tmpdir(), "tessera-pipes-"));
afterAll(() => rmSync(folder, { recursive: true }));

test.skipIf(process.platform === "win32")(
  "a pipe nobody writes to is an error, and soon; one that is written to is read to its end",
  async () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    await expect(readWhole(pipe, 100)).rejects.toMatchObject({ code: "a pipe without a byte for 0.1 s" });
    const writer = spawn("sh", ["-c", `{ printf ab; sleep 0.2; printf c; } > ${pipe}`]);
    expect(Buffer.from(await readWhole(pipe)).toString()).toBe("abc");
    writer.kill();
  },
);

test("a folder is none", async () => {
  await expect(readWhole(folder)).rejects.toMatchObject({ code: "EISDIR" });
});

test("a file longer than an array can be is refused by its size, before anything is read", async () => {
  const path = join(folder, "huge");
  writeFileSync(path, "");
  truncateSync(path, constants.MAX_LENGTH + 1); // a hole: it takes no room
  await expect(readWhole(path)).rejects.toMatchObject({ code: expect.stringContaining(`${constants.MAX_LENGTH + 1} bytes, more than`) });
});
