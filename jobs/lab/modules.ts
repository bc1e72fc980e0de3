/** Which modules an operation launches: on a size and by a variant, or in its own cases. Nothing is compiled. */
import { casesOf } from "../../checks/catalog.ts";
import { modulesOf, type Case } from "../../checks/check.ts";
import { differentiable, type Op, type Sized } from "../../checks/op.ts";
import { valuesOf } from "../../checks/op-problem.ts";
import { getDevice } from "../../engine/device.ts";
import { gradients } from "../../engine/autograd.ts";
import { withRecorder, type Launch } from "../../engine/launch.ts";
import type { Module } from "../../checks/rewrite.ts";
import { Tensor } from "../../engine/tensor.ts";

/** A case that the adapter can run, and what it launches. */
export interface Listed {
  readonly test: Case;
  readonly modules: readonly Module[];
}

/** An operation's cases, in order. */
export async function listCases(op: Op): Promise<Listed[]> {
  const { features } = getDevice();
  const listed: Listed[] = [];
  for (const test of casesOf(op)) {
    if (test.needs?.some((feature) => !features.has(feature))) continue;
    listed.push({ test, modules: await modulesOf(test) });
  }
  return listed;
}

export interface Passes {
  readonly forward: readonly Launch[];
  readonly backward: readonly Launch[];
  dispose(): void;
}

/** The launches of both passes on seeded inputs. */
export function launchesOf(op: Op, sized: Sized, variant: string | undefined): Passes {
  const forward: Launch[] = [],
    backward: Launch[] = [];
  const inputs = Object.fromEntries(
    Object.entries(valuesOf(op, sized)).map(([name, values]) => [
      name,
      Tensor.from(values, sized.inputs[name]!, op.inputs[name]!.bytes ? "u8" : "f32"),
    ]),
  );
  const dispose = () => {
    for (const t of Object.values(inputs)) t.dispose();
  };
  try {
    const wanted = differentiable(op).flatMap((name) => inputs[name] ?? []);
    for (const t of wanted) t.requiresGrad = true;
    const { y } = withRecorder({ launches: forward }, () => op.run(inputs, sized.attrs, variant));
    if (y!.requiresGrad) withRecorder({ launches: backward }, () => void gradients(y!, wanted, y!));
    return { forward, backward, dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}
