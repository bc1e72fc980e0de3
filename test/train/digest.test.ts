/** The data digest that a resumed run compares: equal for the same set elsewhere, another for any change that a run would notice. */
import { expect, test } from "vitest";
import { openSource, type DataFiles } from "../../train/data/open.ts";
import { digestImages } from "../../train/digest.ts";
import { memorySource, type FileRange } from "../../train/input/source.ts";

const folder = (root: string, files: readonly (readonly string[])[] = [["1.png", "2.png"], ["3.png"]], names = ["a", "b"]): DataFiles => ({
  kind: "folder",
  root,
  classes: names.map((name, k) => ({ name, files: files[k]! })),
});
const content =
  (more: Readonly<Record<string, string>> = {}) =>
  async ({ path, offset = 0, length = Infinity }: FileRange) => {
    const name = path.split("/").slice(-2).join("/");
    if (more[name] === "none") throw new Error("ENOENT");
    return Uint8Array.from(new TextEncoder().encode(more[name] ?? `bytes of ${name}`)).subarray(offset, offset + length);
  };
const digest = async (files: DataFiles, read = content()) => digestImages(await openSource(files, read), { read });

test("files: the same set in another folder has the same digest", async () => {
  const first = await digest(folder("/data/one/train"));
  expect(first).toMatch(/^[0-9a-f]{64}$/);
  expect(await digest(folder("/elsewhere/train"))).toBe(first);
});

test("files: a lost, added, renamed, exchanged, unreadable or relabelled image and a renamed class each change the digest", async () => {
  const root = "/data/train";
  const all = [
    await digest(folder(root)),
    await digest(folder(root, [["1.png"], ["3.png"]])),
    await digest(
      folder(root, [
        ["1.png", "2.png"],
        ["3.png", "4.png"],
      ]),
    ),
    await digest(folder(root, [["1.png", "2b.png"], ["3.png"]])),
    await digest(folder(root, [["1.png"], ["2.png", "3.png"]])),
    await digest(folder(root, undefined, ["a", "c"])),
    await digest(folder(root), content({ "a/2.png": "bytes of another" })),
    await digest(folder(root), content({ "a/2.png": "none" })),
  ];
  expect(new Set(all).size).toBe(all.length);
});

test("in memory: every image's label and bytes count", async () => {
  const set = (change: (images: Uint8Array, labels: Uint8Array) => void = () => undefined) => {
    const [images, labels] = [new Uint8Array(1000 * 3 * 16).map((_, i) => i % 251), new Uint8Array(1000).map((_, i) => i % 10)];
    change(images, labels);
    return memorySource({ images, labels, count: 1000, classes: [..."0123456789"], shape: [3, 4, 4] }, "set.bin");
  };
  const none = () => Promise.reject(new Error("nothing to read"));
  const first = await digestImages(set(), { read: none });
  expect(await digestImages(set(), { read: none })).toBe(first);
  expect(
    await digestImages(
      set((images) => void images[777 * 48]!++),
      { read: none },
    ),
  ).not.toBe(first);
  expect(
    await digestImages(
      set((_, labels) => void (labels[501] = 9)),
      { read: none },
    ),
  ).not.toBe(first);
});
