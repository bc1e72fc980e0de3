/** The command that goes on in timm, as timm's own train.py took it: test/golden/timm-run.json; and the checkpoint that came back from there. */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { main } from "../../cli/main.ts";
import { timmCommand, type TimmRun } from "../../jobs/convert/timm-command.ts";
import { checkState } from "../../models/check-state.ts";
import { createModel } from "../../models/model.ts";
import { readWeights } from "../../models/checkpoints/weights.ts";
import { makeRecipe } from "../../train/recipe.ts";

interface Golden {
  readonly config: Readonly<Record<string, unknown>>;
  readonly command: string;
  readonly created: readonly string[];
  readonly "changed by timm": number;
  readonly state_dict: Readonly<Record<string, { readonly shape: number[]; readonly sha256: string }>>;
}
const golden = JSON.parse(readFileSync("test/golden/timm-run.json", "utf8")) as Golden;
const { config } = createModel(golden.config);
const cifar = { mean: [0.49139968, 0.48215841, 0.44653091], std: [0.24703223, 0.24348513, 0.26158784] };
const run = (recipe: Record<string, unknown>, more: Partial<TimmRun> = {}): string =>
  timmCommand({ config, weights: "ours.pth", recipe: makeRecipe(recipe), seed: 0, epoch: 1, ...cifar, teacher: "regnety_002", ...more });
const recorded = { epochs: 2, batchSize: 20, distillation: "hard", warmupEpochs: 0, lr: 0.002, scaleLr: false, emaDecay: 0.99, repeats: 1 };

describe("a run that went on in timm", () => {
  test("by this very command", () => {
    // But for what comments say beside it.
    const said = (command: string) => command.replace(/^# .*\n/gm, "");
    expect(said(run(recorded))).toBe(said(golden.command));
    expect(golden.created).toEqual(["deit_tiny_distilled_patch16_224 with ours.pth", "regnety_002 with no file pretrained"]);
  });

  test("came back and loads strictly: every tensor, trained there", () => {
    const { state } = readWeights(new Uint8Array(readFileSync("test/golden/checkpoint-timm-run.pth.tar")));
    checkState("weights", createModel(golden.config).params, state);
    const digests = Object.fromEntries(
      [...state].map(([name, { shape, data }]) => [
        name,
        {
          shape: [...shape],
          sha256: createHash("sha256")
            .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
            .digest("hex"),
        },
      ]),
    );
    expect(digests).toEqual(golden.state_dict);
    expect(golden["changed by timm"]).toBe(Object.keys(golden.state_dict).length);
  });
});

describe("other recipes", () => {
  test("models by name", () => {
    const named = (what: string | Record<string, unknown>) =>
      /--model [^\\]*/.exec(run(recorded, { config: createModel(what).config }))![0].trim();
    expect(named("deit_base_distilled_patch16_384")).toBe("--model deit_base_distilled_patch16_384");
    expect(run(recorded, { config: createModel("deit_small_patch16_224", 37).config })).toMatch(
      /--model deit_small_patch16_224 \\\n {2}--num-classes 37 \\/,
    );
    expect(run(recorded, { config: createModel({ ...createModel("regnety_160").config, imgSize: 288 }).config })).toMatch(
      /--model regnety_160 \\\n {2}--img-size 288 \\/,
    );
    expect(run(recorded, { config: createModel({ arch: "regnety", depth: 9, imgSize: 32 }).config })).toMatch(
      /# Differs: timm has no RegNetY of this size by name/,
    );
  });

  test("the normalisation is the run's, or left to timm with a note; the seed and a quote in the name", () => {
    expect(run(recorded, { mean: [0.5, 0.25, 0.125], std: [1, 2, 3] })).toMatch(/--mean 0\.5 0\.25 0\.125 \\\n {2}--std 1 2 3 \\/);
    const unknown = run(recorded, { mean: undefined, std: undefined });
    expect(unknown).not.toMatch(/^ {2}--(mean|std)/m);
    expect(unknown).toMatch(/# Differs: the checkpoint does not say how images were normalised/);
    expect(run(recorded, { seed: 9, weights: "it's.pth" })).toMatch(/--initial-checkpoint 'it'\\''s\.pth'[^]*--seed 9\n$/);
  });

  test("DeiT III's loss; what timm's train.py has no option for is said", () => {
    const { recipe } = JSON.parse(readFileSync("train/presets/deit3.json", "utf8")) as { recipe: Record<string, unknown> };
    const command = run(recipe, { config: createModel("deit3_small_patch16_224").config, teacher: undefined });
    expect(command).toMatch(
      /--model deit3_small_patch16_224 [^]*--opt lamb [^]*--lr 0\.004 [^]*--bce-loss \\\n {2}--bce-target-thresh 0 \\\n/,
    );
    expect(command).toMatch(/# Differs: our run dropped every block alike; timm's ViT drops later ones more often\./);
    expect(command).not.toMatch(/--reprob|kd-model/);
    const features = run({ ...recorded, distillation: "features" });
    expect(features).toMatch(/# Differs: timm's train\.py distils pooled features, not patches: this command has no teacher\./);
    expect(features).not.toMatch(/--kd-/);
  });

  test("teachers: by name, else the paper's with a note; none, none", () => {
    expect(run(recorded, { teacher: "regnety_040" })).toMatch(/--kd-model-name regnety_040 \\/);
    const custom = run(recorded, { teacher: "custom regnety" });
    expect(custom).toMatch(/# Differs: timm has no teacher "custom regnety": --kd-model-name is the paper's\.\n/);
    expect(custom).toMatch(/--kd-model-name regnety_160 \\/);
    expect(run({ ...recorded, distillation: "none" }, { teacher: undefined })).not.toMatch(/--kd-/);
  });

  test("soft distillation by number of elements is so much less of timm's by image", () => {
    const soft = run({ ...recorded, distillation: "soft", alpha: 0.1, tau: 3 });
    expect(soft).toMatch(
      /--kd-token-distill-type soft \\\n {2}--task-loss-weight 0\.9 \\\n {2}--distill-loss-weight 0\.01 \\\n {2}--kd-temperature 3 \\/,
    );
    expect(run({ ...recorded, distillation: "soft", alpha: 0.1, tau: 3, reduction: "batchmean" })).toMatch(/--distill-loss-weight 0\.1 \\/);
  });

  test("the learning rate is the scaled one; an update's images are split among processes, whatever parts they came in here", () => {
    const scaled = run({ epochs: 300, batchSize: 1024, accumulate: 4, lr: 5e-4, scaleLr: true }, { teacher: undefined });
    expect(scaled).toMatch(/--batch-size \$\(\(1024 \/ GPUS\)\) \\/);
    expect(scaled).toMatch(/--lr 0\.001 \\/);
    expect(run({ ...recorded, optimizer: "sgd", momentum: 0.8 })).toMatch(/--opt sgd \\\n {2}--momentum 0\.8 \\/);
    expect(run({ ...recorded, optimizer: "sgd", nesterov: false })).toMatch(/--opt momentum \\\n {2}--momentum 0\.9 \\/);
    expect(run({ ...recorded, optimizer: "lamb" })).toMatch(/--opt lamb .*--opt-kwargs max_grad_norm=1 \\/s);
    expect(run({ ...recorded, optimizer: "lamb", maxGradNorm: null })).toMatch(/--opt-kwargs max_grad_norm=None \\/);
  });
});

describe("what timm has no like for is said", () => {
  const large = { config: createModel("deit_tiny_distilled_patch16_224").config };
  test("crops of images of 32 pixels, and by name", () => {
    expect(run(recorded)).toMatch(/# Differs: our run took "padded" crops; timm's train\.py takes resized ones\.\n/);
    expect(run(recorded, large)).not.toMatch(/crops/);
    expect(run({ ...recorded, crop: "simple" }, large)).toMatch(/# Differs: our run took "simple" crops/);
  });
  test("a part that was trained; f16 is its automatic mixed precision", () => {
    expect(run({ ...recorded, trainOnly: "attention" })).toMatch(/# Differs: our run trained "attention" only/);
    expect(run({ ...recorded, dtype: "f16" })).toMatch(/^ {2}--amp \\$/m);
    expect(run(recorded)).not.toMatch(/--amp/);
  });
});

describe("a checkpoint's record", { timeout: 60_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "tessera-timm-"));
  const at = (name: string) => join(folder, name);
  afterAll(() => rmSync(folder, { recursive: true }));
  afterEach(() => void vi.restoreAllMocks());
  const tessera = async (...args: string[]) => {
    let stdout = "";
    vi.spyOn(process.stderr, "write").mockImplementation(() => true);
    vi.spyOn(process.stdout, "write").mockImplementation((text, ...more: unknown[]) => {
      stdout += text;
      const written = more.at(-1);
      if (typeof written === "function") written();
      return true;
    });
    expect(await main(args)).toBe(0);
    return stdout;
  };

  test("convert takes normalisation and teacher from it; the converted file knows classes, mean and std", async () => {
    await tessera(
      "train",
      "--model",
      JSON.stringify(golden.config),
      "--out",
      at("run"),
      "--preset",
      "small-images",
      "--batch-size",
      "20",
      "--max-steps",
      "1",
      "--eval-every",
      "100",
      "--distillation",
      "hard",
      "--teacher",
      "app/data/teacher/regnety-cifar10.safetensors",
    );
    const stdout = await tessera("convert", "--in", at("run/checkpoint.safetensors"), "--out", at("w.pth"), "--to", "timm");
    const script = readFileSync(at("w.pth.sh"), "utf8");
    expect(stdout).toContain(script);
    expect(script).toMatch(/--mean 0\.49139968 0\.48215841 0\.44653091 \\\n {2}--std 0\.24703223/);
    expect(script).toMatch(/# Differs: timm has no teacher "custom regnety"/);
    const { info } = readWeights(new Uint8Array(readFileSync(at("w.pth"))));
    expect(info).toMatchObject({ config: golden.config, ...cifar });
    expect(info!.classes!.length).toBe(10);
  });
});
