/** `--data`: every kind of data set that PyTorch users have, trained on and evaluated through the command line; what is wrong with one is said. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import sharp from "sharp";
import { beforeAll, describe, expect, test } from "vitest";
import { dataSplit } from "../../cli/node/data/files.ts";

const folder = mkdtempSync(join(tmpdir(), "tessera-data-"));
const at = (name: string) => join(folder, name);
const file = (name: string, bytes: Uint8Array | string) => {
  mkdirSync(dirname(at(name)), { recursive: true });
  writeFileSync(at(name), bytes);
};

async function tessera(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, ["cli/tessera.mjs", ...args])) };
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string };
  }
}

/** A step and its evaluation; the model takes its classes from the data. */
const train = (data: string, ...more: string[]) =>
  tessera(
    "train",
    "--model",
    "vit_tiny_patch16_224",
    "--data",
    at(data),
    "--out",
    at(`runs/${data}`),
    "--preset",
    "small-images",
    "--batch-size",
    "4",
    "--max-steps",
    "1",
    "--repeats",
    "1",
    "--workers",
    "0",
    ...more,
  );
const small = (classes: number) =>
  JSON.stringify({ arch: "deit", imgSize: 32, patchSize: 16, dim: 16, depth: 1, heads: 1, numClasses: classes });

const picture = (i: number, height = 36, width = 44) =>
  sharp(
    Uint8Array.from({ length: 3 * height * width }, (_, j) => (j * (i + 3)) % 251),
    { raw: { height, width, channels: 3 } },
  );

/** Records of labels before images, as CIFAR's. */
function records(count: number, labels: (i: number) => readonly number[]): Uint8Array {
  return Uint8Array.from(
    Array.from({ length: count }, (_, i) => [...labels(i), ...Array.from({ length: 3072 }, (_, j) => (i * 31 + j) % 256)]).flat(),
  );
}

function idx(shape: readonly number[], value: (i: number) => number): Uint8Array {
  const size = shape.reduce((a, b) => a * b, 1);
  return Uint8Array.from([
    0,
    0,
    8,
    shape.length,
    ...shape.flatMap((n) => [0, 0, n >> 8, n & 255]),
    ...Array.from({ length: size }, (_, i) => value(i)),
  ]);
}

/** A tar of files, ustar. */
function tar(files: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const blocks = Object.entries(files).flatMap(([name, bytes]) => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write(`0000644\0`, 100);
    header.write(`${bytes.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("        0ustar\0", 148);
    header.write(
      `${header
        .reduce((a, b) => a + b, 0)
        .toString(8)
        .padStart(6, "0")}\0 `,
      148,
    );
    return [header, Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)])];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

describe("data", { timeout: 180_000 }, () => {
  beforeAll(async () => {
    for (const [split, count] of [
      ["train", 8],
      ["val", 4],
    ] as const) {
      for (let i = 0; i < count; i++) {
        const kind = i % 2 ? "png" : "jpeg";
        file(`folder/${split}/${i % 2 ? "dog" : "cat"}/deep/${i}.${kind}`, await picture(i).toFormat(kind).toBuffer());
      }
      const samples = await Promise.all(
        Array.from(
          { length: count },
          async (_, i) =>
            [
              [`${i}.jpg`, await picture(i).jpeg().toBuffer()],
              [`${i}.cls`, Buffer.from(String(i % 3))],
            ] as const,
        ),
      );
      file(`tar/${split}-000.tar`, tar(Object.fromEntries(samples.flat())));
    }
    file("tar/classes.txt", "ant\nbee\ncow\n");
    for (let i = 1; i <= 5; i++)
      file(
        `cifar10/data_batch_${i}.bin`,
        records(2, (k) => [(i + k) % 10]),
      );
    file(
      "cifar10/test_batch.bin",
      records(4, (k) => [k]),
    );
    for (const split of ["train", "test"])
      file(
        `cifar100/${split}.bin`,
        records(6, (k) => [k % 20, 90 + k]),
      );
    for (const [prefix, count] of [
      ["train", 8],
      ["t10k", 4],
    ] as const) {
      file(`fashion/${prefix}-images-idx3-ubyte.gz`, gzipSync(idx([count, 28, 28], (i) => (i * 7) % 256)));
      file(`fashion/${prefix}-labels-idx1-ubyte.gz`, gzipSync(idx([count], (i) => i % 10)));
    }
  });

  test.each([
    ["folder", 2],
    ["tar", 3],
    ["cifar10", 10],
    ["cifar100", 100],
    ["fashion", 10],
  ] as const)("%s trains, and is evaluated with its %i classes", async (data, classes) => {
    const done = await train(data, "--model", small(classes));
    expect(done.code, done.stderr).toBe(0);
    const judged = await tessera(
      "eval",
      "--weights",
      at(`runs/${data}/model.safetensors`),
      "--data",
      at(data),
      "--batch-size",
      "4",
      "--split",
      "test",
    );
    expect(judged.code, judged.stderr).toBe(0);
    expect(judged.stdout).toContain(`${data === "cifar100" ? 6 : 4} images`);
  });

  test("a kind is found by what lies there", () => {
    expect(dataSplit(at("folder"), "test")).toMatchObject({
      kind: "folder",
      classes: [
        { name: "cat", files: ["deep/0.jpeg", "deep/2.jpeg"] },
        { name: "dog", files: ["deep/1.png", "deep/3.png"] },
      ],
    });
    expect(dataSplit(at("tar"), "train")).toEqual({ kind: "tar", shards: [at("tar/train-000.tar")], classes: ["ant", "bee", "cow"] });
    expect(dataSplit(at("cifar10"), "train")).toMatchObject({
      kind: "cifar10",
      paths: [1, 2, 3, 4, 5].map((i) => at(`cifar10/data_batch_${i}.bin`)),
    });
    expect(dataSplit(at("cifar100"), "test")).toEqual({ kind: "cifar100", path: at("cifar100/test.bin") });
    expect(dataSplit(at("fashion"), "test")).toMatchObject({
      kind: "idx",
      images: at("fashion/t10k-images-idx3-ubyte.gz"),
      classes: expect.arrayContaining(["Sneaker"]),
    });
  });

  test("what is none, is two, or contradicts itself is said", () => {
    file(
      "two/train.bin",
      records(2, () => [1]),
    );
    file("two/train-0.tar", tar({}));
    file(
      "half/data_batch_1.bin",
      records(2, () => [1]),
    );
    file("other/train/cat/1.jpg", "");
    file("other/val/cow/1.jpg", "");
    file("nothing/readme.txt", "");
    file(
      "unlabelled/train-images-idx3-ubyte",
      idx([1, 28, 28], () => 0),
    );
    const refused = (data: string, split: "train" | "test", pattern: RegExp) => expect(() => dataSplit(at(data), split)).toThrow(pattern);
    refused("two", "train", /one kind of data in ".*two" for its train split, got cifar10 and tar/);
    refused("half", "train", /5 batches data_batch_\*\.bin in ".*half", got 1/);
    refused("other", "test", /the classes of ".*train" in ".*val", got "cow" besides/);
    refused("nothing", "train", /the train split in ".*nothing" as .*; got readme\.txt/);
    refused("unlabelled", "train", /train-labels-idx1-ubyte in ".*unlabelled", got no labels/);
    refused("missing", "train", /expected data as cifar10-subset.*; got ".*missing"/);
  });

  test("a corrupt image is named and left out; past a set share of the images the run stops", async () => {
    for (const split of ["train", "val"])
      for (let i = 0; i < 40; i++)
        file(`corrupt/${split}/${i % 2 ? "dog" : "cat"}/${String(i).padStart(2, "0")}.png`, await picture(i).png().toBuffer());
    file("corrupt/train/cat/00.png", "this is no image");
    const tolerant = await train(
      "corrupt",
      "--model",
      small(2),
      "--max-steps",
      "10",
      "--batch-size",
      "4",
      "--max-corrupt",
      "0.1",
      "--eval-every",
      "100",
    );
    expect(tolerant.code, tolerant.stderr).toBe(0);
    expect(tolerant.stderr).toMatch(/train\/cat\/00\.png left out: /);
    for (const i of ["02", "04", "06", "08", "10"]) file(`corrupt/train/cat/${i}.png`, "nor is this");
    const stopped = await train(
      "corrupt",
      "--overwrite",
      "--model",
      small(2),
      "--max-steps",
      "10",
      "--batch-size",
      "4",
      "--max-corrupt",
      "0.1",
      "--eval-every",
      "100",
    );
    expect(stopped.code).toBe(1);
    expect(stopped.stderr).toMatch(/corrupt/);
  });
});
