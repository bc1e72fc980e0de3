/** What the NaN finder found, for people. */
import { show } from "../engine/shape.ts";
import type { LaunchRanges, NotFinite, Range, TensorRange } from "./debug.ts";

/** "NaN at element [3,2] of blocks.0.mlp.fc1.weight [64,16], in mlp of blocks.0.mlp (forward); its inputs: …". */
export function describeNotFinite({ tensor, shape, index, value, phase, op, kernel, layer, inputs }: NotFinite): string {
  const where = layer === null || phase === "optimizer" ? "" : ` of ${layer}`;
  const given = inputs.map((input) => `${input.name} ${show(input.shape)} ${describeRange(input)}`).join(", ");
  const read = given === "" ? "" : `; its inputs: ${given}`;
  return `${value} at element ${show(index)} of ${tensor} ${show(shape)}, in ${op ?? kernel}${where} (${phase})${read}`;
}

const number = (value: number): string => String(Number(value.toPrecision(3)));

/** "-1.2 to 3.4", and what is not finite. */
export function describeRange({ min, max, broken, minusInfinities, first }: Range): string {
  const finite = min === null ? "no finite value" : `${number(min)} to ${number(max!)}`;
  return first ? `${finite} and ${broken + minusInfinities} not finite, first ${first.value} at ${show(first.index)}` : finite;
}

/** The values of a layer's tensors together. */
export interface LayerRanges {
  readonly layer: string;
  readonly activations: Extent | null;
  readonly gradients: Extent | null;
}

interface Extent {
  readonly min: number;
  readonly max: number;
  readonly notFinite: number;
}

/** Activations and their gradients by layer, in the order of the forward. */
export function rangesByLayer(launches: readonly LaunchRanges[]): LayerRanges[] {
  const layers = new Set(launches.flatMap(({ phase, layer }) => (phase === "forward" && layer !== null ? [layer] : [])));
  return [...layers].map((layer) => {
    const of = (phase: string) =>
      launches.filter((l) => l.layer === layer && l.phase === phase).flatMap(({ outputs }) => outputs.filter(({ result }) => result));
    return { layer, activations: extent(of("forward")), gradients: extent(of("backward")) };
  });
}

function extent(tensors: readonly TensorRange[]): Extent | null {
  const finite = tensors.filter(({ min }) => min !== null);
  if (finite.length === 0) return null;
  return {
    min: Math.min(...finite.map(({ min }) => min!)),
    max: Math.max(...finite.map(({ max }) => max!)),
    notFinite: tensors.reduce((n, { broken, minusInfinities }) => n + broken + minusInfinities, 0),
  };
}

/** A line for each layer. */
export function describeLayers(layers: readonly LayerRanges[]): string {
  const width = Math.max(5, ...layers.map(({ layer }) => layer.length));
  const cell = (e: Extent | null) =>
    e ? `${number(e.min)} to ${number(e.max)}${e.notFinite > 0 ? `, ${e.notFinite} not finite` : ""}` : "-";
  const line = (layer: string, activations: string, gradients: string) =>
    `  ${layer.padEnd(width)}  ${activations.padEnd(24)}  ${gradients}`;
  return [line("layer", "activations", "gradients"), ...layers.map((l) => line(l.layer, cell(l.activations), cell(l.gradients)))].join(
    "\n",
  );
}
