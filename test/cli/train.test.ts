/** `train` and `eval` as commands: teachers of every format, presets, refusals, signals. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { stoppedAndGoneOn } from "./stopped.ts";

const config = (more: object = {}) =>
  JSON.stringify({ arch: "deit", imgSize: 32, patchSize: 16, dim: 16, depth: 1, heads: 1, numClasses: 10, distilled: true, ...more });
const folder = mkdtempSync(join(tmpdir(), "tessera-train-"));
const at = (name: string) => join(folder, name);

async function tessera(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, ["cli/tessera.mjs", ...args])) };
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string };
  }
}

const train = (out: string, ...more: string[]) =>
  tessera(
    "train",
    "--model",
    config(),
    "--out",
    at(out),
    "--preset",
    "small-images",
    "--batch-size",
    "20",
    "--max-steps",
    "2",
    "--eval-every",
    "100",
    ...more,
  );

describe("train and eval", { timeout: 600_000 }, () => {
  beforeAll(async () => {
    expect((await train("teacher")).code).toBe(0);
  }, 600_000);

  test("a distilled DeiT teaches, from safetensors, .pth and Hugging Face's names alike", async () => {
    const files = { safetensors: at("teacher/model.safetensors"), pth: at("teacher.pth"), hf: at("teacher-hf.safetensors") };
    expect((await tessera("convert", "--in", files.safetensors, "--out", files.pth, "--to", "timm")).code).toBe(0);
    expect((await tessera("convert", "--in", files.safetensors, "--out", files.hf, "--to", "hf")).code).toBe(0);
    const students: Buffer[] = [];
    for (const [name, file] of Object.entries(files)) {
      const { code, stderr } = await train(name, "--distillation", "hard", "--teacher", file, "--teacher-model", config());
      expect(code, stderr).toBe(0);
      expect(stderr).toMatch(/recipe: \{.*"distillation":"hard"/);
      students.push(readFileSync(at(`${name}/model.safetensors`)));
    }
    expect(students[1]!.equals(students[0]!) && students[2]!.equals(students[0]!)).toBe(true);
  });

  test("what contradicts itself is one line and exit 2", async () => {
    const refused = async (pattern: RegExp, ...args: string[]) => {
      const { code, stderr } = await train("refused", ...args);
      expect(stderr.trim().split("\n").at(-1)).toMatch(pattern);
      expect(code).toBe(2);
    };
    await refused(/expected a teacher for distillation "hard", got none/, "--distillation", "hard");
    await refused(
      /expected a teacher of the student's 10 classes, got .* of 7/,
      "--distillation",
      "hard",
      "--teacher",
      at("teacher/model.safetensors"),
      "--teacher-model",
      config({ numClasses: 7 }),
    );
    const deeper = await train(
      "refused",
      "--distillation",
      "hard",
      "--teacher",
      at("teacher/model.safetensors"),
      "--teacher-model",
      config({ depth: 2 }),
    );
    expect(deeper).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /\ntessera train: expected the 35 tensors of this model, got missing: blocks\.1\.[^\n]* \(.*teacher\/model\.safetensors\)\n$/,
      ),
    });
    await refused(/expected fewer than 3 warmupEpochs, got 5/, "--epochs", "3", "--warmup-epochs", "5");
    await refused(/expected training images of 7 classes, got 10/, "--model", config({ numClasses: 7 }));
    await refused(/expected distilled to be true or false, got "yes"/, "--model", config({ distilled: "yes" }));
    await refused(/expected an integer from 0 on for --workers <n>, got "two"/, "--workers", "two");
    await refused(/expected a number above 0 for --save-minutes <n>, got "often"/, "--save-minutes", "often");
    await refused(/expected a preset of .*small-images.*, got "none"/, "--preset", "none");
    await refused(/recipe: autoAugment|expected .*rand/i, "--auto-augment", "rand-x9");
  });

  test("a checkpoint of another recipe or seed is not gone on with; a model without classes has the data's", async () => {
    const model = ["--model", config({ numClasses: undefined, distilled: undefined })];
    const [done, other, seed] = [
      await train("again", ...model),
      await train("again", ...model, "--resume", "--lr", "0.5"),
      await train("again", ...model, "--resume", "--seed", "4"),
    ];
    expect(done).toMatchObject({ code: 0 });
    expect(other).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/expected a checkpoint with lr 0\.5, got 0\.001 \(.*again\/checkpoint\.safetensors\)\n$/),
    });
    expect(seed).toMatchObject({ code: 2, stderr: expect.stringMatching(/expected a checkpoint with seed 4, got 0 /) });
  });

  test("--replace-head begins a classifier of as many classes anew too", async () => {
    const { code, stderr } = await train("anew", "--weights", at("teacher/model.safetensors"), "--replace-head");
    expect(code).toBe(0);
    expect(stderr).toContain("classifier begun anew: head.weight, head.bias, head_dist.weight, head_dist.bias\n");
  });

  test("weights for images of another size: the error says what makes them fit", async () => {
    const misfit = ["--model", config({ imgSize: 64 }), "--weights", at("teacher/model.safetensors")];
    for (const options of [misfit, [...misfit, "--dry-run"]]) {
      const { code, stderr } = await train("misfit", ...options);
      expect(stderr).toMatch(
        /misshapen: pos_embed is .* \(only the position embedding differs: --resize-pos-embed .*\) \(.*model\.safetensors\)\n$/,
      );
      expect(code).toBe(2);
    }
  });

  test("heads answer alone and together; a plain model has but one", async () => {
    const lines = new Set<string>();
    for (const head of ["mean", "softmax-sum", "cls", "dist"]) {
      const { code, stdout } = await tessera("eval", "--weights", at("teacher/model.safetensors"), "--head", head);
      expect(code).toBe(0);
      lines.add(stdout.split("\n")[1]!.replace(/^.*top-1/, ""));
    }
    expect(lines.size).toBeGreaterThan(2);
    expect((await tessera("eval", "--weights", "app/data/teacher/regnety-cifar10.safetensors", "--head", "dist")).stderr).toMatch(
      /expected a distilled model for --head dist/,
    );
  });

  test("SIGTERM saves and stops, in node, with exit code 143; what goes on ends in the same bits", () =>
    stoppedAndGoneOn("SIGTERM", "node", 143)); // in chromium: test/slow/kill.slow.test.ts
});
