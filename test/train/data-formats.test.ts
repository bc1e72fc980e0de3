/** IDX, CIFAR-100 and tar shards: where each byte comes out, and what is refused. */
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { CIFAR100_CLASSES, parseCifar100 } from "../../train/data/cifar100.ts";
import { gunzip, numbered, parseIdx, parseIdxImages } from "../../train/data/idx.ts";
import { openSource } from "../../train/data/open.ts";
import { indexTar } from "../../train/data/tar.ts";
import type { FileRange } from "../../train/input/source.ts";

describe("IDX", () => {
  const idx = (shape: readonly number[], data: ArrayLike<number>): Uint8Array<ArrayBuffer> => {
    const bytes = new Uint8Array(4 + 4 * shape.length + data.length);
    bytes.set([0, 0, 8, shape.length]);
    shape.forEach((n, i) => new DataView(bytes.buffer).setUint32(4 + 4 * i, n));
    bytes.set(Array.from(data), 4 + 4 * shape.length);
    return bytes;
  };
  const pixels = Array.from({ length: 2 * 3 * 5 }, (_, i) => 1 + i); // 2 images of 3 x 5
  const files = { images: idx([2, 3, 5], pixels), labels: idx([2], [7, 0]), names: ["i", "l"] as const, classes: numbered(10) };

  test("grey becomes three equal channels, in the middle of its padding", () => {
    const set = parseIdxImages({ ...files, pad: 2 });
    expect(set).toMatchObject({ count: 2, shape: [3, 7, 9], classes: numbered(10), labels: Uint8Array.of(7, 0) });
    for (let n = 0; n < 2; n++)
      for (let c = 0; c < 3; c++)
        for (let y = 0; y < 7; y++)
          for (let x = 0; x < 9; x++) {
            const inside = y >= 2 && y < 5 && x >= 2 && x < 7;
            expect(set.images[((n * 3 + c) * 7 + y) * 9 + x], `${n} ${c} ${y} ${x}`).toBe(inside ? pixels[(n * 3 + y - 2) * 5 + x - 2] : 0);
          }
    expect([...parseIdxImages(files).images.subarray(15, 30)]).toEqual(pixels.slice(0, 15));
  });

  test("packed or not", async () => {
    expect(await gunzip(Uint8Array.from(gzipSync(files.images)), "i")).toEqual(files.images);
    expect(await gunzip(files.images, "i")).toBe(files.images);
    await expect(gunzip(Uint8Array.from(gzipSync(files.images)).subarray(0, 30), "i")).rejects.toThrow(
      "gunzip: expected whole gzip data in i",
    );
  });

  test("what does not add up is refused", () => {
    const refused = (more: Partial<typeof files> & { pad?: number }, why: string) =>
      expect(() => parseIdxImages({ ...files, ...more })).toThrow(why);
    refused({ images: files.images.subarray(0, 40) }, "parseIdx: expected 46 bytes in i (axes 2x3x5), got 40");
    refused({ images: idx([30], pixels) }, "parseIdx: expected images (count, height, width) in i, got axes 30");
    refused({ images: idx([0, 3, 5], []) }, "got axes 0x3x5");
    refused({ labels: idx([1], [7]) }, "parseIdx: expected 2 labels in l, got axes 1");
    refused({ labels: idx([2], [7, 10]) }, "parseIdx: expected a label below 10 in record 1 of l, byte 9, got 10");
    refused({ pad: -1 }, "parseIdx: expected pad to be an integer from 0 to 1024, got -1");
    expect(() => parseIdx(Uint8Array.of(0, 0, 8), "f")).toThrow("parseIdx: expected at least 4 bytes in f, got 3");
    expect(() => parseIdx(Uint8Array.of(1, 0, 8, 1), "f")).toThrow("parseIdx: expected two zero bytes at byte 0 of f, got 1, 0");
    expect(() => parseIdx(Uint8Array.of(0, 0, 13, 1), "f")).toThrow("parseIdx: expected type 8 (unsigned bytes) at byte 2 of f, got 13");
    expect(() => parseIdx(Uint8Array.of(0, 0, 8, 9), "f")).toThrow("parseIdx: expected 1 to 4 axes at byte 3 of f, got 9");
    expect(() => parseIdx(Uint8Array.of(0, 0, 8, 2, 0, 0), "f")).toThrow("parseIdx: expected a header of 12 bytes in f, got a file of 6");
  });
});

describe("CIFAR-100", () => {
  const record = (coarse: number, fine: number, first: number) => [
    coarse,
    fine,
    ...Array.from({ length: 3072 }, (_, i) => (first + i) % 256),
  ];

  test("fine labels, images as they are", () => {
    const set = parseCifar100(Uint8Array.from([...record(4, 99, 0), ...record(19, 8, 100)]));
    expect(set).toMatchObject({ count: 2, shape: [3, 32, 32], labels: Uint8Array.of(99, 8) });
    expect([set.images[0], set.images[3071], set.images[3072], set.images[6143]]).toEqual([0, 255, 100, 99]);
    expect([CIFAR100_CLASSES.length, new Set(CIFAR100_CLASSES).size, set.classes[8], set.classes[99]]).toEqual([
      100,
      100,
      "bicycle",
      "worm",
    ]);
  });

  test("labels out of range and parts of records are refused", () => {
    expect(() => parseCifar100(Uint8Array.from([...record(4, 1, 0), ...record(20, 1, 0)]))).toThrow(
      "parseCifar100: expected a coarse label below 20 in record 1, byte 3074, got 20",
    );
    expect(() => parseCifar100(Uint8Array.from(record(4, 100, 0)))).toThrow(
      "parseCifar100: expected a fine label below 100 in record 0, byte 1, got 100",
    );
    expect(() => parseCifar100(new Uint8Array(3075))).toThrow(
      "parseCifar100: expected whole records of 3074 bytes, got 1 records and 1 bytes more",
    );
    expect(() => parseCifar100(new Uint8Array(0))).toThrow("got an empty file");
  });
});

describe("tar", () => {
  type Entry = { readonly name: string; readonly data: string; readonly type?: string; readonly prefix?: string };
  const header = ({ name, data, type = "0", prefix = "" }: Entry): Buffer => {
    const bytes = Buffer.alloc(512);
    bytes.write(name, 0);
    bytes.write(`${data.length.toString(8).padStart(11, "0")}\0`, 124);
    bytes.write(`        ${type}`, 148);
    bytes.write("ustar\0", 257);
    bytes.write(prefix, 345);
    bytes.write(
      `${bytes
        .reduce((a, b) => a + b, 0)
        .toString(8)
        .padStart(6, "0")}\0 `,
      148,
    );
    return bytes;
  };
  const tar = (...entries: readonly Entry[]): Uint8Array<ArrayBuffer> =>
    Uint8Array.from(
      Buffer.concat([
        ...entries.flatMap((e) => [header(e), Buffer.from(e.data.padEnd(512 * Math.ceil(e.data.length / 512), "\0"))]),
        Buffer.alloc(1024),
      ]),
    );
  const reader =
    (bytes: Uint8Array<ArrayBuffer>) =>
    async ({ offset = 0, length = Infinity }: FileRange) =>
      bytes.slice(offset, offset + length);
  const index = (...entries: readonly Entry[]) => indexTar("s.tar", reader(tar(...entries)));
  const sample = (key: string, more: Partial<Entry> = {}): Entry[] => [
    { name: `${key}.jpg`, data: `image ${key}`, ...more },
    { name: `${key}.cls`, ...more, data: "3" },
  ];

  test("the place of each image, its label from .cls or .json, other members left alone", async () => {
    const bytes = tar(
      { name: "a/", data: "", type: "5" },
      ...sample("a/one"),
      { name: "a/two.json", data: '{"label": 7, "x": [1]}' },
      { name: "a/two.png", data: "p".repeat(700) },
      { name: "a/two.txt", data: "words" },
      { name: ".hidden", data: "x" },
      { name: "three.webp", data: "w" },
      { name: "three.json", data: "0" },
    );
    const found = await indexTar("s.tar", reader(bytes));
    expect(found.map(({ key, label }) => [key, label])).toEqual([
      ["a/one", 3],
      ["a/two", 7],
      ["three", 0],
    ]);
    expect(found.map(({ image: { offset, length } }) => Buffer.from(bytes.slice(offset, offset + length)).toString())).toEqual([
      "image a/one",
      "p".repeat(700),
      "w",
    ]);
  });

  test("names longer than a header's field: ustar's prefix, GNU's, pax's", async () => {
    const long = `${"d/".repeat(60)}name`;
    const gnu = (name: string): Entry => ({ name: "././@LongLink", data: `${name}\0`, type: "L" });
    const pax = (name: string): Entry => ({
      name: "PaxHeader",
      data: `22 mtime=1700000000.5\n${name.length + 10} path=${name}\n`,
      type: "x",
    });
    expect((await index(...sample("n", { prefix: "some/where" }))).map((s) => s.key)).toEqual(["some/where/n"]);
    for (const name of [gnu, pax]) {
      const [image, label] = sample("cut");
      expect((await index(name(`${long}.jpg`), image!, name(`${long}.cls`), label!, ...sample("after"))).map((s) => s.key)).toEqual([
        long,
        "after",
      ]);
    }
  });

  test("what is broken or incomplete is refused by its place", async () => {
    await expect(index({ name: "a.jpg", data: "x" }, ...sample("b"))).rejects.toThrow(
      "tar: expected a .cls or .json beside the image of sample a in s.tar (record 0, byte 512), got none",
    );
    await expect(index({ name: "a.cls", data: "1" })).rejects.toThrow(
      "tar: expected an image beside the label of sample a in s.tar (record 0), got none",
    );
    await expect(index(...sample("a"), { name: "a.png", data: "x" })).rejects.toThrow(
      "tar: expected one image in sample a of s.tar, got a second at byte 2560",
    );
    for (const data of ["", "-1", "cat", "1.5", "{}", "[1]"])
      await expect(index({ name: "a.jpg", data: "x" }, { name: "a.cls", data }), data).rejects.toThrow(
        "tar: expected a class as an integer in a.cls of s.tar, byte 1536",
      );
    const whole = tar(...sample("a"));
    await expect(indexTar("s.tar", reader(whole.slice(0, 700)))).rejects.toThrow(
      "tar: expected a .cls or .json beside the image of sample a in s.tar (record 0, byte 512), got none",
    );
    await expect(indexTar("s.tar", reader(whole.slice(0, 515)))).rejects.toThrow(
      "tar: expected 7 bytes from byte 512 of s.tar, got a file that ends before",
    );
    await expect(indexTar("s.tar", reader(whole.map((b, i) => (i === 3 ? b ^ 1 : b))))).rejects.toThrow(
      "tar: expected a header with checksum",
    );
  });

  test("classes are named, or as many as the labels go up to", async () => {
    const bytes = tar(...sample("a"));
    const open = (classes: readonly string[] | null) => openSource({ kind: "tar", shards: ["s.tar"], classes }, reader(bytes));
    expect((await open(null)).classes).toEqual(["0", "1", "2", "3"]);
    expect((await open(["w", "x", "y", "z"])).classes).toEqual(["w", "x", "y", "z"]);
    await expect(open(["w", "x"])).rejects.toThrow("tar: expected a class below 2 in sample a of s.tar, got 3");
    await expect(openSource({ kind: "tar", shards: ["s.tar"], classes: null }, reader(tar()))).rejects.toThrow(
      "tar: expected samples of an image and a .cls or .json in s.tar, got none",
    );
  });
});
