import { gradients } from "../../engine/autograd.ts";
import { record } from "../../engine/plan.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { countCorrect } from "../../kernels/rows/argmax.ts";
import { crossEntropy } from "../../kernels/cross-entropy.ts";
import { klDistillation } from "../../kernels/kl-distillation.ts";
import { distillationLoss } from "../../train/loss.ts";
import { close, refuses, uniform, type Case } from "../../checks/check.ts";
import golden from "../golden/losses.json" with { type: "json" };

const TOL = 2e-6;
const zeros = (...shape: number[]) => Tensor.zeros(shape);
const labels = (values: readonly number[], dtype: "u32" | "i32" = "u32") => Tensor.from(values, [values.length], dtype);
const some = (B: number, K: number): number[] => Array.from({ length: B }, (_, b) => (b * 7 + 3) % K);

function near(what: string, got: ArrayLike<number>, expected: readonly number[], tol = TOL): void {
  if (got.length !== expected.length) throw new Error(`${what}: expected ${expected.length} values, got ${got.length}`);
  expected.forEach((v, i) => close(`${what}[${i}]`, got[i]!, v, tol * (1 + Math.abs(v))));
}

type Group = (typeof golden.groups)["small"];

/** One recorded loss: value, and gradients of both heads. */
async function checkGolden(group: Group, expected: Group["cases"][number]): Promise<void> {
  const tensor = (rows: readonly (readonly number[])[]) => Tensor.from(rows.flat(), [rows.length, rows[0]!.length]);
  const [z, zk, teacherLogits] = [tensor(group.logits), tensor(group.dist), tensor(group.teacher)];
  z.requiresGrad = zk.requiresGrad = true;
  const { loss } = distillationLoss({
    logits: z,
    logitsDist: zk,
    teacherLogits,
    ...(expected.base === "soft-target"
      ? { target: tensor(group.target) }
      : { labels: labels(group.labels), labelSmoothing: expected.labelSmoothing ?? 0 }),
    kind: expected.distillation as "none" | "soft" | "hard",
    alpha: expected.alpha,
    tau: expected.tau,
  });
  const [l, dz, dzk] = await readAll([loss, ...gradients(loss, [z, zk])]);
  near("loss", l!, [expected.loss]);
  near("dlogits", dz!, expected.dlogits.flat());
  near("ddist", dzk!, expected.ddist.flat());
}

const spec = {
  z: [1, 2, 3, 0, 0.5, -1, 0, 2],
  zk: [0.2, 0.1, 1.5, -0.3, 1, 0, -0.5, 0.7],
  t: [0, 1, 2.5, -1, 2, -1, 0, 1.5],
  y: [2, 0],
  target: [0.655, 0.025, 0.295, 0.025, 0.295, 0.025, 0.655, 0.025],
};

export const cases: Case[] = [
  ...(Object.entries(golden.groups) as [string, Group][]).flatMap(([name, group]) =>
    group.cases.map((c) => ({
      name: `distillationLoss: as recorded, ${name}: ${c.base} ${c.labelSmoothing ?? ""} with ${c.distillation}, alpha ${c.alpha}, tau ${c.tau}`,
      run: () => checkGolden(group, c),
    })),
  ),
  {
    name: "distillationLoss: two rows that can be checked by hand",
    async run() {
      const tensor = (values: readonly number[]) => Tensor.from(values, [2, 4]);
      const [logits, logitsDist, teacherLogits, target] = [tensor(spec.z), tensor(spec.zk), tensor(spec.t), tensor(spec.target)];
      logits.requiresGrad = logitsDist.requiresGrad = true;
      const y = labels(spec.y);
      const common = { logits, logitsDist, teacherLogits, target };
      const soft = distillationLoss({ ...common, kind: "soft", alpha: 0.1, tau: 3 });
      const hard = distillationLoss({ ...common, kind: "hard" });
      const values = await readAll([
        crossEntropy(logits, y),
        crossEntropy(logits, y, { labelSmoothing: 0.1 }),
        crossEntropy(logits, target),
        soft.distill!,
        klDistillation(logitsDist, teacherLogits, { tau: 3, reduction: "batchmean" }),
        soft.loss,
        distillationLoss({ ...common, kind: "soft" }).loss,
        hard.loss,
        gradients(soft.loss, [logitsDist])[0]!,
        gradients(hard.loss, [logitsDist])[0]!,
      ]);
      // The KL terms were taken down from f32 arithmetic that is 5e-7 off; in f64 they are .05808158 and .23232632.
      near(
        "losses",
        values.slice(0, 8).map((v) => v[0]!),
        [1.14126956, 1.22251964, 2.01001954, 0.05808172, 0.23232688, 1.81482565, 1.01786828, 1.34702933],
        5e-7,
      );
      near("d soft", values[8]!.subarray(0, 4), [0.00168103, -0.00134185, -0.00266239, 0.0023232], 1e-7);
      near("d hard", values[9]!.subarray(0, 4), [0.04044872, 0.03659952, -0.10158165, 0.02453339], 1e-7);
    },
  },
  {
    name: "distillationLoss: a recording gives what running at once gives, bit for bit",
    async run() {
      const z = Tensor.from(uniform(6 * 70, 1), [6, 70]);
      z.requiresGrad = true;
      const [teacherLogits, y] = [Tensor.from(uniform(6 * 70, 2), [6, 70]), labels(some(6, 70))];
      const step = () => {
        const { loss } = distillationLoss({ logits: z, logitsDist: z, teacherLogits, labels: y, labelSmoothing: 0.1, kind: "hard" });
        return [loss, ...gradients(loss, [z]), countCorrect(z, y)];
      };
      const plan = await record(step);
      plan.run();
      const [a, b] = [String(await readAll(plan.result)), String(await readAll(step()))];
      if (a !== b) throw new Error(`expected ${b}, got ${a}`);
      plan.dispose();
    },
  },
  {
    name: "distillationLoss: refuses contradictions",
    async run() {
      const [logits, y] = [zeros(2, 4), labels([1, 2])];
      await refuses(() => distillationLoss({ logits }), /expected either target or labels, got neither/);
      await refuses(() => distillationLoss({ logits, labels: y, target: zeros(2, 4) }), /expected either target or labels, got both/);
      await refuses(
        () => distillationLoss({ logits, labels: y, kind: "hard", teacherLogits: zeros(2, 4) }),
        /expected logitsDist \[2,4\] for hard distillation, got none/,
      );
      await refuses(
        () => distillationLoss({ logits, labels: y, kind: "soft", logitsDist: zeros(2, 4) }),
        /expected teacherLogits \[2,4\] for soft distillation, got none/,
      );
      await refuses(
        () => distillationLoss({ logits, labels: y, kind: "hard", logitsDist: zeros(2, 4), teacherLogits: zeros(2, 5) }),
        /expected teacherLogits \[2,4\] for hard distillation, got \[2,5\]/,
      );
      await refuses(() => distillationLoss({ logits, labels: y, alpha: 2 }), /alpha in \[0, 1\], got 2/);
    },
  },
];
