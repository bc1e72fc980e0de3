/**
 * Data sets that were read wrongly or not at all, each with the value that torchvision, GNU tar or Python gives. Files of test/golden/faults:
 * 40 x 40 images, tar shards of six samples, EMNIST's forms, as they came from the field.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { dataFiles, dataSplit } from "../../cli/node/data/files.ts";
import { byCodePoint } from "../../cli/node/data/python-order.ts";
import { readRange } from "../../cli/node/images.ts";
import { openSource } from "../../train/data/open.ts";

const folder = mkdtempSync(join(tmpdir(), "tessera-faults-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const write = (name: string, bytes: string | Uint8Array = "x") => {
  mkdirSync(dirname(at(name)), { recursive: true });
  writeFileSync(at(name), bytes);
};
const golden = (name: string) => `test/golden/faults/${name}`;

/** The sources of both splits as training opens them, and what was said. */
async function opened(data: string, classes?: number) {
  const said: string[] = [];
  const files = dataFiles(data, (line) => said.push(line));
  const train = await openSource(files.train, readRange, classes);
  return { train, test: await openSource(files.test, readRange, train.classes), said };
}

/** The split that evaluation reads, opened for a model of `classes`. */
async function judged(data: string, classes: number, split: "val" | "test" = "val") {
  const said: string[] = [];
  const source = await openSource(
    dataSplit(data, split, (line) => said.push(line)),
    readRange,
    classes,
  );
  return { count: source.count, labels: Array.from({ length: source.count }, (_, i) => source.label(i)), said };
}

const paths = (data: string, split: "train" | "val" = "train", say: (line: string) => void = () => undefined) => {
  const files = dataSplit(data, split, say);
  if (files.kind !== "folder") throw new Error(`expected a folder, got ${files.kind}`);
  return files.classes.map((c) => [c.name, ...c.files]);
};

describe("folders", () => {
  test("every kind of image that torchvision lists counts", async () => {
    expect((await opened(golden("image-kinds"))).test.count).toBe(6);
  });

  test("what is left out is counted by kind, on one line", () => {
    for (const name of [
      "1.png",
      "2.JPG",
      "3.jfif",
      "4.avif",
      "5.gif",
      "6.tiff",
      "7.heic",
      "8.svg",
      "9.HEIC",
      "notes",
      ".hidden.png",
      ".DS_Store",
    ])
      write(`kinds/train/a/${name}`);
    symlinkSync("nowhere", at("kinds/train/a/10.png"));
    execFileSync("mkfifo", [at("kinds/train/a/11.png")]);
    const said: string[] = [];
    expect(paths(at("kinds"), "train", (line) => said.push(line))).toEqual([
      ["a", "1.png", "2.JPG", "3.jfif", "4.avif", "5.gif", "6.tiff"],
    ]);
    expect(said).toEqual([
      `${at("kinds/train")}: 6 images; 7 left out: 2 .heic, 1 .svg, 1 hidden, 1 links that cannot be followed (ENOENT), 1 pipes, sockets or devices, 1 without an ending`,
    ]);
  });

  test("a folder that is called like an image is walked into", async () => {
    expect((await opened(golden("folder-named-jpg"))).test.count).toBe(3);
  });

  test("names are in the order of Python's sorted: by code point, folders' own files before those below", () => {
    // sorted(["é", "e\u0301", "Z", "a", "_", "\uff5e", "\U0001f600", "10", "9"]) in Python 3.11
    const names = ["10", "9", "Z", "_", "a", "e\u0301", "\u00e9", "\uff5e", "\u{1f600}"];
    expect([...names].reverse().sort(byCodePoint)).toEqual(names);
    for (const name of [...names].reverse()) write(`order/train/${name}/0.png`);
    expect(paths(at("order")).map(([name]) => name)).toEqual(names);
    for (const name of ["z.png", "a/1.png", "a-b/1.png", "a/c/1.png", "B.png", "\u{1f600}.png", "\uff5e.png"])
      write(`deep/train/k/${name}`);
    // [os.path.join(root, f) for root, _, fs in sorted(os.walk("k", followlinks=True)) for f in sorted(fs)]
    expect(paths(at("deep"))).toEqual([["k", "B.png", "z.png", "\uff5e.png", "\u{1f600}.png", "a/1.png", "a-b/1.png", "a/c/1.png"]]);
  });

  test("a class keeps its number where the other split writes its name in another of Unicode's forms", async () => {
    write("forms/train/\u00e9/0.png");
    write("forms/train/z/0.png");
    write("forms/val/e\u0301/0.png");
    write("forms/val/z/0.png");
    const { test: val } = await opened(at("forms"));
    expect(val.classes).toEqual(["z", "\u00e9"]);
    expect([val.label(0), val.label(1)]).toEqual([0, 1]);
    expect(val.at(1)).toEqual({ path: at("forms/val/e\u0301/0.png") });
    write("forms/val/\u00e9/0.png");
    await expect(opened(at("forms"))).rejects.toThrow(/got two that differ in Unicode's form alone/);
  });

  test("links are followed once: a loop ends, and a folder that is linked twice counts once", () => {
    write("loop/train/a/0.png");
    write("loop/train/b/1.png");
    write("loop/shared/2.png");
    symlinkSync("..", at("loop/train/a/up"));
    symlinkSync(".", at("loop/train/a/here"));
    symlinkSync("../../shared", at("loop/train/a/one"));
    symlinkSync("../../shared", at("loop/train/a/two"));
    const said: string[] = [];
    expect(paths(at("loop"), "train", (line) => said.push(line))).toEqual([
      ["a", "0.png", "one/2.png"],
      ["b", "1.png"],
    ]);
    expect(said[0]).toMatch(/3 images; 3 left out: 3 folders that a link reaches again$/);
  });

  test("val comes before test, test on request, and a line says which", async () => {
    const { test: val, said } = await opened(golden("val-and-test"));
    expect(val.count).toBe(4);
    expect(said).toEqual([expect.stringMatching(/val-and-test: using val; test is there too$/)]);
    expect((await judged(golden("val-and-test"), 2, "test")).count).toBe(10);
    for (const name of ["train", "validation", "eval"]) write(`named/${name}/a/0.png`);
    expect((await opened(at("named"))).said).toEqual([expect.stringMatching(/using validation; eval is there too$/)]);
  });

  test("names that a terminal would obey are shown", () => {
    write("esc/train/a/\u001b[2J.heic");
    write("esc/val/b\u001b]0;title\u0007/0.png");
    write("esc/train/a/0.png");
    expect(() => paths(at("esc"), "val")).toThrow(/got "b\\u001b\]0;title\\u0007" besides/);
  });

  test("a pipe is refused as an image and not waited for", async () => {
    execFileSync("mkfifo", [at("pipe.png")]);
    await expect(readRange({ path: at("pipe.png") })).rejects.toThrow("expected a file, got a pipe or device");
    await expect(readRange({ path: folder })).rejects.toThrow("expected a file, got a folder");
    expect(await readRange({ path: at("kinds/train/a/1.png"), offset: 0, length: 2 ** 40 })).toEqual(Uint8Array.of(120));
  });
});

describe("tar shards", () => {
  test.each([
    ["tar-cls-and-json", "the .json is metadata beside the .cls"],
    ["tar-json-then-cls", "also where it stands before"],
    ["tar-without-end", "no zero blocks at the end"],
    ["tar-shard-names", "imagenet1k-validation-00.tar"],
  ])("%s: six samples (%s)", async (name) => {
    expect((await judged(golden(name), 5)).count).toBe(6);
  });

  test("a validation set that lacks the last class has the training set's classes", async () => {
    const { train, test: val } = await opened(golden("tar-val-fewer-classes"));
    expect([train.classes.length, val.classes.length]).toEqual([5, 5]);
  });

  test.each([
    ["imagenet-train-000147.tar", "train"],
    ["imagenet1k-validation-63.tar", "val"],
    ["imagenet22k-train-0001.tar", "train"],
    ["val.tar", "val"],
    ["shard_val_0.tar", "val"],
    ["data.training.000.tar", "train"],
    ["test-of-models-train-3.tar", "train"],
  ] as const)("%s is a shard of %s", (file, split) => {
    const name = `names-${file}`;
    write(`${name}/${file}`);
    expect(dataSplit(at(name), split, () => undefined)).toMatchObject({ kind: "tar", shards: [at(`${name}/${file}`)] });
    expect(() => dataSplit(at(name), split === "train" ? "val" : "train", () => undefined)).toThrow(/expected the (train|val) split/);
  });

  test("trainval-0.tar is no split's, and a packed shard is refused by name", () => {
    write("both/trainval-0.tar");
    expect(() => dataSplit(at("both"), "train", () => undefined)).toThrow(/expected the train split/);
    write("packed/train-0.tar.gz");
    expect(() => dataSplit(at("packed"), "train", () => undefined)).toThrow(
      /expected shards unpacked to \.tar in ".*packed", got train-0\.tar\.gz/,
    );
  });
});

describe("IDX", () => {
  test.each([
    ["emnist_balanced", 47],
    ["emnist_letters", 27],
    ["emnist_names", 10],
  ])("%s has %i classes", async (name, classes) => {
    const { train, test: val } = await opened(golden(name));
    expect([train.classes.length, val.classes.length]).toEqual([classes, classes]);
  });

  test("classes.txt names them, and two sets in one folder are refused", async () => {
    const idx = (shape: number[], data: number[]) =>
      Uint8Array.from([0, 0, 8, shape.length, ...shape.flatMap((n) => [0, 0, 0, n]), ...data]);
    for (const set of ["emnist-letters-", "emnist-mnist-"]) {
      write(`two/${set}train-images-idx3-ubyte`, idx([1, 2, 2], [1, 2, 3, 4]));
      write(`two/${set}train-labels-idx1-ubyte`, idx([1], [1]));
    }
    expect(() => dataSplit(at("two"), "train", () => undefined)).toThrow(
      /one set of IDX files in ".*two", got emnist-letters-\* and emnist-mnist-\*/,
    );
    write("named-idx/train-images-idx3-ubyte.gz", gzipSync(idx([1, 2, 2], [1, 2, 3, 4])));
    write("named-idx/train-labels-idx1-ubyte", idx([1], [1]));
    write("named-idx/classes.txt", "\ufeffant\r\nbee\r\n");
    const source = await openSource(
      dataSplit(at("named-idx"), "train", () => undefined),
      readRange,
    );
    expect([source.classes, source.label(0)]).toEqual([["ant", "bee"], 1]);
  });

  test("gzip that unpacks to more than its header announces is refused before it is unpacked", async () => {
    const bomb = gzipSync(Buffer.concat([Buffer.from([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2]), Buffer.alloc(1 << 24)]));
    write("bomb/train-images-idx3-ubyte.gz", bomb);
    write("bomb/train-labels-idx1-ubyte", Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 1, 0));
    const before = process.memoryUsage().arrayBuffers;
    await expect(
      openSource(
        dataSplit(at("bomb"), "train", () => undefined),
        readRange,
      ),
    ).rejects.toThrow(/^gunzip: expected the 20 bytes that the header of .*images-idx3-ubyte\.gz announces, got more/);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 22);
  });
});
