/** Checkpoints whose record wants to run something: `convert` refuses them, or writes a script in which they are words and comments. */
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { main } from "../../cli/main.ts";
import { runOf } from "../../jobs/convert/run-record.ts";
import { timmCommand } from "../../jobs/convert/timm-command.ts";
import { writeSafetensors } from "../../models/checkpoints/safetensors.ts";
import { createModel } from "../../models/model.ts";
import { initialState } from "../../models/params.ts";
import { makeRecipe } from "../../train/recipe.ts";

const folder = mkdtempSync(join(tmpdir(), "tessera-record-"));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => void vi.restoreAllMocks());

const { config, params } = createModel({
  arch: "deit",
  imgSize: 8,
  patchSize: 4,
  dim: 8,
  depth: 1,
  heads: 2,
  numClasses: 3,
  distilled: true,
});
const regnet = createModel("regnety_002").config;
const recipe = makeRecipe({ epochs: 2, batchSize: 8, distillation: "hard", warmupEpochs: 0 });
const good = {
  seed: 1,
  epoch: 1,
  model: config,
  recipe,
  about: { classes: ["a"], mean: [0.5, 0.5, 0.5], std: [1, 1, 1], teacher: "regnety_160" },
};

const HOSTILE = [
  "0; touch PWNED",
  "$(touch PWNED)",
  "`touch PWNED`",
  'a"\ntouch PWNED\n#',
  "x\rtouch PWNED",
  "'; touch PWNED; '",
  "| touch PWNED",
  "& touch PWNED &",
  "${IFS}touch",
  "> PWNED",
  "\n",
  "rand-m9\ntouch PWNED",
  "-m9; touch PWNED",
  "\u2028touch PWNED",
  "\u001b]0;title\u0007",
  ["touch PWNED"],
  { toString: "touch PWNED" },
  [0.5, "; touch PWNED"],
];

/** Every place of a record, and the record with something else there. */
function* places(value: unknown, change: (changed: unknown) => unknown, path = ""): Generator<[string, (put: unknown) => unknown]> {
  yield [path, change];
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    const put = (changed: unknown) => change(Array.isArray(value) ? value.with(Number(key), changed) : { ...value, [key]: changed });
    yield* places(inner, put, `${path}.${key}`);
  }
}

/** Runs a script as a shell does, with a `torchrun` that prints its arguments; says whether anything else ran. */
function runs(script: string): { args: string[]; ran: boolean } {
  writeFileSync(join(folder, "torchrun"), '#!/bin/sh\nfor a in "$@"; do printf "%s\\0" "$a"; done\n');
  chmodSync(join(folder, "torchrun"), 0o755);
  rmSync(join(folder, "PWNED"), { force: true });
  const out = execFileSync("sh", ["-c", script], {
    cwd: folder,
    env: { PATH: `${folder}:${process.env["PATH"]}`, DATA: "data", GPUS: "2" },
  });
  return { args: out.toString().split("\0").slice(0, -1), ran: existsSync(join(folder, "PWNED")) };
}

test("every field of a record hostile, in every way: refused, or a word or comment of the script", () => {
  let refused = 0;
  const written = new Map<string, string>();
  for (const model of [config, regnet])
    for (const [path, put] of places({ ...good, model }, (changed) => changed))
      for (const hostile of HOSTILE) {
        const text = JSON.stringify(put(hostile)) ?? "";
        try {
          const script = timmCommand({ ...runOf(text), weights: "w.safetensors" });
          written.set(script, path);
        } catch (error) {
          refused++;
          expect((error as Error).message, path).toMatch(/expected|recipe: /);
        }
      }
  expect(refused).toBeGreaterThan(1000);
  // What the schema lets through is text that no command is made of: the teacher's name and class names (a list is an empty object to the schema).
  expect(new Set([...written.values()].map((path) => path.replace(/\.\d+$/, "")))).toEqual(
    new Set([".about", ".about.classes", ".about.teacher"]),
  );
  for (const script of written.keys()) {
    expect(script).not.toMatch(/[^\n\x20-\x7e]/);
    const { args, ran } = runs(script);
    expect(ran).toBe(false);
    expect(args.slice(0, 3)).toEqual(["--nproc-per-node=2", "train.py", "--data-dir"]);
    expect(args.join(" ")).not.toMatch(/touch|PWNED/);
  }
});

test("a file's own name is one word of the script", () => {
  for (const weights of HOSTILE.filter((h): h is string => typeof h === "string")) {
    const { args, ran } = runs(timmCommand({ ...runOf(JSON.stringify(good)), weights }));
    expect(ran).toBe(false);
    expect(args[args.indexOf("--initial-checkpoint") + 1]).toBe(weights);
  }
});

test("convert: exit 2 in one line, and no script", async () => {
  const path = join(folder, "hostile.safetensors");
  const tensors = [...initialState(params, 1)].map(
    ([name, { shape, data }]) => [`param.${name}`, { dtype: "F32" as const, shape, data }] as const,
  );
  for (const record of [
    { ...good, seed: "0; touch PWNED" },
    { ...good, recipe: { ...recipe, autoAugment: "x; touch PWNED; :" } },
  ]) {
    writeFileSync(path, writeSafetensors(tensors, { tessera: JSON.stringify(record) }));
    let stderr = "";
    vi.spyOn(process.stderr, "write").mockImplementation((text) => ((stderr += text), true));
    expect(await main(["convert", "--in", path, "--out", join(folder, "out.safetensors"), "--to", "timm"])).toBe(2);
    expect(stderr).toMatch(/^tessera convert: [^\n]*expected[^\n]*\n$/);
    expect(existsSync(join(folder, "out.safetensors.sh"))).toBe(false);
    vi.restoreAllMocks();
  }
  writeFileSync(
    path,
    writeSafetensors(tensors, { tessera: JSON.stringify({ ...good, about: { ...good.about, teacher: 'a"\ntouch PWNED\n#' } }) }),
  );
  vi.spyOn(process.stderr, "write").mockImplementation(() => true);
  vi.spyOn(process.stdout, "write").mockImplementation(() => true);
  expect(await main(["convert", "--in", path, "--out", join(folder, "out.safetensors"), "--to", "timm"])).toBe(0);
  expect(runs(readFileSync(join(folder, "out.safetensors.sh"), "utf8")).ran).toBe(false);
});
