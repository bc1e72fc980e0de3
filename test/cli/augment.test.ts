/** `augment` as a command: on the GPU by default, the reference on request, and what it refuses. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { decodeImage, encodePng } from "../../cli/node/decode-image.ts";
import { main } from "../../cli/main.ts";
import type { RgbImage } from "../../models/images/preprocess.ts";
import { applyOps, parseOps } from "../../train/augment/ops.ts";

const OPS = [
  { op: "Equalize" },
  { op: "Sharpness", factor: 1.81 },
  { op: "hflip" },
  { op: "resizedCrop", top: 1, left: 2, height: 9, width: 11, size: 7 },
  { op: "AutoContrast" },
];
const image: RgbImage = { height: 12, width: 17, data: Uint8Array.from({ length: 3 * 12 * 17 }, (_, i) => (i * i + 31 * i) % 256) };
let folder: string;
const file = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "augment-"));
  await writeFile(file("in.png"), await encodePng(image));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
afterEach(() => void vi.restoreAllMocks());

async function augment(ops: unknown, out: string, ...more: string[]): Promise<{ code: number; stderr: string }> {
  let stderr = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => ((stderr += text), true));
  return { code: await main(["augment", "--image", file("in.png"), "--ops", JSON.stringify(ops), "--out", file(out), ...more]), stderr };
}

test.each([
  ["gpu.png", "--where", "node"],
  ["cpu.png", "--where", "cpu"],
])("%s holds the reference's bytes", async (out, ...where) => {
  const { code, stderr } = await augment(OPS, out, ...where);
  expect(code, stderr).toBe(0);
  expect(stderr.startsWith("adapter: ")).toBe(where[1] === "node");
  const { height, width, data } = await decodeImage(await readFile(file(out)), { upright: false });
  expect({ height, width, data: [...data] }).toEqual({ height: 7, width: 7, data: [...applyOps(image, parseOps(OPS)).data] });
});

test.each([
  [[{ op: "Blur" }], /expected one of AutoContrast, .* as operation 0, got "Blur"/],
  [[{ op: "hflip" }, { op: "centerCrop", size: 13 }], /expected an image of at least 13x13, got 12x17/],
])("refuses %j before it asks for a device", async (ops, message) => {
  const { code, stderr } = await augment(ops, "none.png");
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/adapter: /);
});
