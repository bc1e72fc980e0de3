/** Runs a step's launches again from the state that the step began with: to find where a NaN comes from, and to measure ranges. */
import { keep, scope } from "../engine/memory.ts";
import { place } from "../kernels/shared/place.ts";
import { numel } from "../engine/shape.ts";
import { indexIn } from "../kernels/shared/axes.ts";
import { readAll, Tensor } from "../engine/tensor.ts";
import { rangeOf, readRange } from "../kernels/shared/range.ts";
import type { ParameterStore } from "../models/params.ts";
import { debug, type NotFinite } from "./debug.ts";
import { rangesByLayer, type LayerRanges } from "./debug-text.ts";
import type { Optimizer } from "./optimizer.ts";
import type { StepDraft, TrainStep } from "./step.ts";

export class Replay {
  readonly #store: ParameterStore;
  readonly #step: TrainStep;
  readonly #optimizer: Optimizer;
  readonly #state: readonly { readonly tensor: Tensor; readonly copy: Tensor }[];

  constructor({ store, step, optimizer }: { readonly store: ParameterStore; readonly step: TrainStep; readonly optimizer: Optimizer }) {
    this.#store = store;
    this.#step = step;
    this.#optimizer = optimizer;
    this.#state = stateOf(store, optimizer, step.draft).map((tensor) => ({ tensor, copy: Tensor.zeros(tensor.shape) }));
  }

  /**
   * Runs the batch, or the update of several. Resolves to `null`, or to where its first value comes from that is not finite. Throws where
   * there was one and, run again, there is none.
   */
  async run(part: "batch" | "update"): Promise<NotFinite | null> {
    this.#save();
    const { batch, update, draft } = this.#step;
    if (part === "batch") batch.run();
    else update!.run();
    if (await this.#isFinite(part)) return null;
    this.#restore();
    const { first } = await debug(part === "batch" ? draft.batch : draft.update!, this.#names());
    if (!first) throw new Error("train: expected an update that is not finite again when it is run again, got a finite one");
    return this.#located(first);
  }

  /** Ranges of activations and gradients of the batch that is about to run. */
  async ranges(): Promise<LayerRanges[]> {
    this.#save();
    const { launches } = await debug(this.#step.draft.batch, this.#names());
    this.#restore();
    return rangesByLayer(launches);
  }

  dispose(): void {
    for (const { copy } of this.#state) copy.dispose();
  }

  #save(): void {
    for (const { tensor, copy } of this.#state) place(tensor, copy);
  }

  #restore(): void {
    for (const { tensor, copy } of this.#state) place(copy, tensor);
  }

  /** Whether the loss, the gradients and what the update made are; gradients that f16's loss scale was too large for are expected. */
  async #isFinite(part: "batch" | "update"): Promise<boolean> {
    const { batch, update, lossScale } = this.#step;
    const { loss, norm } = batch.result;
    const gradients = part === "update" ? [update!.result] : norm ? [norm] : this.#store.grads;
    const checked = [loss, ...this.#state.map(({ tensor }) => tensor), ...(lossScale ? [] : gradients)];
    const ranges = checked.map((tensor) => scope(() => keep(rangeOf(tensor))));
    const words = await readAll(ranges);
    for (const range of ranges) range.dispose();
    return checked.every(({ shape }, i) => readRange(words[i]!, shape).first === null);
  }

  #names(): Record<string, Tensor> {
    const { layout, tensors, gradTargets } = this.#store;
    const gradients = layout.parts.map(({ name }, i) => [`gradient of ${name}`, gradTargets[i]!]);
    return {
      ...Object.fromEntries(Object.entries(this.#flats()).map(([name, { tensor }]) => [name, tensor])),
      ...tensors,
      ...Object.fromEntries(gradients),
    };
  }

  /** Buffers of all parameters, by a name; `of` comes before a parameter's name where an element of the buffer belongs to it. */
  #flats(): Record<string, { readonly tensor: Tensor; readonly buffer: number; readonly of: string }> {
    const { flat, grads } = this.#store;
    const states = Object.entries(this.#optimizer.state).map(([name, state]) => [name, state, `${name} of `] as const);
    return Object.fromEntries(
      ([["parameters", flat, ""], ["gradients", grads, "gradient of "], ...states] as const).flatMap(([name, buffers, of]) =>
        buffers.map((tensor, buffer) => [buffer === 0 ? name : `${name} (${buffer + 1})`, { tensor, buffer, of }]),
      ),
    );
  }

  /** An element of a buffer of all parameters is called by its parameter's name. */
  #located(found: NotFinite): NotFinite {
    const flat = this.#flats()[found.tensor];
    const at = found.index[0]!;
    const part = this.#store.layout.parts.find(
      ({ buffer, start, shape }) => buffer === flat?.buffer && at >= start && at < start + numel(shape),
    );
    if (!flat || !part) return found;
    return { ...found, tensor: flat.of + part.name, shape: part.shape, index: indexIn(part.shape, at - part.start) };
  }
}

/** All that a step changes and the next one begins with. */
export function stateOf(
  { flat, half, stats }: ParameterStore,
  { lossScale, skipped, ema, state }: Optimizer,
  { sum }: Pick<StepDraft, "sum">,
): Tensor[] {
  const all = [flat, half, stats, sum, ...Object.values(state), skipped, lossScale?.scale, lossScale?.good, ema?.flat, ema?.stats];
  return all.flatMap((tensors) => tensors ?? []);
}
