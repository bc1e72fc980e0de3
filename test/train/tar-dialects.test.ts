/** Dialects of tar, as GNU tar and Python's tarfile read them: by headers made here, byte for byte. */
import { describe, expect, test } from "vitest";
import { openSource } from "../../train/data/open.ts";
import { indexTar } from "../../train/data/tar.ts";
import type { FileRange } from "../../train/input/source.ts";

interface Entry {
  readonly name: string;
  readonly data?: string;
  readonly type?: string;
  /** Bytes of the size field, in place of octal digits. */
  readonly size?: Uint8Array | string;
  readonly link?: string;
  readonly magic?: string;
  readonly prefix?: string;
  /** The checksum of signed bytes, as some old writers made it. */
  readonly signed?: boolean;
}

function header({ name, data = "", type = "0", size, link = "", magic = "ustar\x0000", prefix = "", signed = false }: Entry): Buffer {
  const bytes = Buffer.alloc(512);
  bytes.write(name, 0, "utf8");
  bytes.set(size === undefined ? Buffer.from(`${Buffer.byteLength(data).toString(8).padStart(11, "0")}\0`) : Buffer.from(size), 124);
  bytes.write(`        ${type}`, 148, "latin1");
  bytes.write(link, 157);
  bytes.write(magic, 257, "latin1");
  bytes.write(prefix, 345, "latin1");
  const sum = bytes.reduce((a, b) => a + (signed && b > 127 ? b - 256 : b), 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return bytes;
}
const block = (data: string): Buffer => {
  const bytes = Buffer.from(data);
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
};
const tar = (...entries: readonly Entry[]): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(Buffer.concat([...entries.flatMap((e) => [header(e), block(e.data ?? "")]), Buffer.alloc(1024)]));
const reader =
  (bytes: Uint8Array<ArrayBuffer>) =>
  async ({ offset = 0, length = Infinity }: FileRange) =>
    bytes.slice(offset, offset + length);

/** [key, label, image's text] of each sample. */
async function samples(bytes: Uint8Array<ArrayBuffer>) {
  const found = await indexTar("s.tar", reader(bytes));
  return found.map(({ key, label, image: { offset, length } }) => [
    key,
    label,
    Buffer.from(bytes.subarray(offset, offset + length)).toString(),
  ]);
}
const label: Entry = { name: "a.cls", data: "7" };
const image: Entry = { name: "a.jpg", data: "pixels" };
const A = ["a", 7, "pixels"];
const pax = (...records: readonly (readonly [string, string])[]): Entry => ({
  name: "PaxHeader",
  type: "x",
  data: records
    .map(([key, value]) => {
      const rest = Buffer.byteLength(` ${key}=${value}\n`);
      const digits = String(rest + String(rest).length).length;
      return `${rest + digits} ${key}=${value}\n`;
    })
    .join(""),
});

describe("ends", () => {
  test.each([
    ["one zero block", 512],
    ["no zero block", 1024],
    ["nor the last file's padding", 1024 + 500],
  ])("%s", async (_, cut) => {
    const bytes = tar(image, label);
    expect(await samples(bytes.slice(0, bytes.length - cut))).toEqual([A]);
  });
  test("within a file or a header are refused", async () => {
    const bytes = tar(label, image);
    await expect(samples(bytes.slice(0, 1024 + 512 + 3))).rejects.toThrow(
      "tar: expected 6 bytes from byte 1536 of s.tar, got a file that ends before",
    );
    await expect(samples(bytes.slice(0, 1024 + 100))).rejects.toThrow("tar: expected a header of 512 bytes at byte 1024 of s.tar, got 100");
  });
});

describe("headers", () => {
  test("sizes in base 256, and padded with spaces", async () => {
    expect(await samples(tar({ ...image, size: Uint8Array.from([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6]) }, label))).toEqual([A]);
    expect(await samples(tar({ ...image, size: "         6 \0" }, label))).toEqual([A]);
    await expect(samples(tar({ ...image, size: Uint8Array.from([0x80, ...new Uint8Array(11).fill(255)]) }, label))).rejects.toThrow(
      "tar: expected a size in octal or base 256 at byte 124 of s.tar",
    );
    await expect(samples(tar({ ...image, size: "99999999999\0" }, label))).rejects.toThrow(
      /expected a size in octal or base 256 .*, got "99999999999"/,
    );
  });
  test("a checksum of signed bytes", async () => {
    expect(await samples(tar({ ...image, name: "\u00e4.jpg", signed: true }, { ...label, name: "\u00e4.cls" }))).toEqual([
      ["\u00e4", 7, "pixels"],
    ]);
  });
  test("V7 without magic, its folders ending in a slash; folders and links have no data whatever their size says", async () => {
    const v7 = { magic: "", type: "\0" };
    expect(await samples(tar({ name: "d/", ...v7 }, { ...image, ...v7 }, { ...label, ...v7 }))).toEqual([A]);
    const sized = { size: "00000001000\0" };
    expect(await samples(tar({ name: "d", type: "5", ...sized }, { name: "l", type: "2", link: "x", ...sized }, image, label))).toEqual([
      A,
    ]);
  });
  test("GNU's old headers keep times where ustar has a prefix", async () => {
    const gnu = { magic: "ustar  \0", prefix: "14553334212\0" };
    expect(await samples(tar({ ...image, ...gnu }, { ...label, ...gnu }))).toEqual([A]);
    const posix = { prefix: "p" };
    expect(await samples(tar({ ...image, ...posix }, { ...label, ...posix }))).toEqual([["p/a", 7, "pixels"]]);
  });
  test("contiguous files are files; a hard link is the file it names", async () => {
    expect(await samples(tar({ ...image, type: "7" }, label))).toEqual([A]);
    expect(await samples(tar(image, label, { name: "b.jpg", type: "1", link: "a.jpg" }, { name: "b.cls", data: "2" }))).toEqual([
      A,
      ["b", 2, "pixels"],
    ]);
  });
});

describe("pax", () => {
  test("a size that octal cannot hold, a path with a line break, records of all files", async () => {
    expect(await samples(tar(pax(["size", "6"]), { ...image, size: "00000000000\0" }, label))).toEqual([A]);
    const [first, second] = ["n\nl.jpg", "n\nl.cls"].map((path) => pax(["mtime", "1.5"], ["path", path]));
    expect(await samples(tar(first!, image, second!, label))).toEqual([["n\nl", 7, "pixels"]]);
    expect(await samples(tar({ ...pax(["comment", "x"]), type: "g" }, image, label))).toEqual([A]);
    await expect(samples(tar({ name: "p", type: "x", data: "99 path=b\n" }, image))).rejects.toThrow(
      'tar: expected a pax record at byte 512 of s.tar, got "99 path=b',
    );
  });
  test("sparse files are refused by name, old and new", async () => {
    await expect(samples(tar(label, { ...image, type: "S" }))).rejects.toThrow(
      "tar: expected files stored whole in s.tar, got a.jpg as a sparse file",
    );
    await expect(samples(tar(pax(["GNU.sparse.major", "1"], ["GNU.sparse.name", "big.jpg"]), image, label))).rejects.toThrow(
      "tar: expected files stored whole in s.tar, got big.jpg as a sparse file",
    );
  });
});

describe("labels", () => {
  const one = (text: string, ending = "cls") => samples(tar(image, { name: `a.${ending}`, data: text }));
  test(".cls is an integer as Python's int() takes it; .json one, or an object's cls or label", async () => {
    for (const text of ["7", " 7\n", "007", "+7"]) expect(await one(text), text).toEqual([A]);
    for (const text of ["7", '{"cls":7,"label":1}', '{"label":7}']) expect(await one(text, "json"), text).toEqual([A]);
    for (const text of ["7.5", "seven", "", "-7", "1e2"])
      await expect(one(text), text).rejects.toThrow("tar: expected a class as an integer in a.cls");
    for (const text of ['{"label":"7"}', '{"class":7}', "{", "null"])
      await expect(one(text, "json"), text).rejects.toThrow("tar: expected a class");
  });
  test("a .json without an image or a class of its own is passed over beside a .cls", async () => {
    const meta: Entry = { name: "a.json", data: '{"width":3}' };
    expect(await samples(tar(meta, image, label))).toEqual([A]);
    expect(await samples(tar(image, label, { ...meta, name: "about.json" }))).toEqual([A]);
  });
  test("a class far above the number of samples is refused before anything is made of it", async () => {
    const open = (text: string, classes?: number) =>
      openSource({ kind: "tar", shards: ["s.tar"], classes: null }, reader(tar(image, { name: "a.cls", data: text })), classes);
    await expect(open("4000000000")).rejects.toThrow(
      "tar: expected a class below 1000 (1 samples; more classes are named in classes.txt) in sample a of s.tar, got 4000000000",
    );
    await expect(open("1000000000000000")).rejects.toThrow("got 1000000000000000");
    expect((await open("999")).classes.length).toBe(1000);
    expect((await open("7", 21843)).classes.length).toBe(21843);
    await expect(open("7", 5)).rejects.toThrow("tar: expected a class below 5 in sample a of s.tar, got 7");
  });
});
