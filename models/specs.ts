/** Parameters' specs of the layers that vision transformers are made of. Initial values and weight decay are those of the official code. */
import type { Init, ParamSpec } from "./params.ts";

export const STD: Init = { kind: "normal", std: 0.02 };
export const ZEROS: Init = { kind: "zeros" };

/** Matrices decay, vectors do not. */
export const spec = (name: string, shape: readonly number[], init: Init, decay = shape.length > 1): ParamSpec => ({
  name,
  shape,
  init,
  trainable: true,
  decay,
});

export const normSpecs = (name: string, width: number): ParamSpec[] => [
  spec(`${name}.weight`, [width], { kind: "ones" }),
  spec(`${name}.bias`, [width], ZEROS),
];

export const denseSpecs = (name: string, out: number, into: number, { bias = true, init = STD } = {}): ParamSpec[] => [
  spec(`${name}.weight`, [out, into], init),
  ...(bias ? [spec(`${name}.bias`, [out], ZEROS)] : []),
];
