/**
 * Where the first NaN or infinity is born: work runs launch by launch, unrecorded, and every tensor that a launch reads or writes is looked
 * at. From the same figures: the ranges of activations and gradients by layer.
 */
import { keep, scope, type Storage } from "../engine/memory.ts";
import { readAll, type Tensor } from "../engine/tensor.ts";
import { withWatcher, type Part } from "../engine/watch.ts";
import { hasRange, rangeOf, readRange, type Range } from "../kernels/shared/range.ts";

export type { Range } from "../kernels/shared/range.ts";

export type Phase = "forward" | "backward" | "optimizer";

/** A tensor's values. */
export interface TensorRange extends Range {
  /** The name it was given, or "y of softmax.forward": what its kernel calls it, and the kernel. */
  readonly name: string;
  readonly shape: readonly number[];
  /** What an operation, or its backward, returns; not what it keeps or needs on the way. */
  readonly result: boolean;
}

export interface LaunchRanges {
  readonly phase: Phase;
  /** The differentiable operation; `null` outside of one. */
  readonly op: string | null;
  readonly kernel: string;
  /** The named tensors of the operation, or of the latest one that had any, without what is last in their names: "blocks.0.attn.qkv". */
  readonly layer: string | null;
  /** As they were before. */
  readonly inputs: readonly TensorRange[];
  /** Made, or changed in place. */
  readonly outputs: readonly TensorRange[];
}

/** The first element that is not finite: of what a launch wrote, or of what it was given and nothing computed. */
export interface NotFinite extends Omit<LaunchRanges, "outputs"> {
  readonly tensor: string;
  readonly shape: readonly number[];
  readonly index: readonly number[];
  readonly value: number;
}

export interface DebugReport {
  /** `null` where everything is finite. */
  readonly first: NotFinite | null;
  /** In their order. */
  readonly launches: readonly LaunchRanges[];
}

/**
 * Runs `body` (synchronous; forward, `gradients`, an optimizer) launch by launch and looks at all f32 and f16 tensors in it. `names` are
 * tensors to call by a name, e.g. a model's parameters. All that `body` computes stays in memory until it has run.
 *
 * A tensor that was given and is not finite is itself the first where a launch makes something of it that is not. -Infinity that comes of
 * -Infinity is a mask's, and passes; the first is then what an operation makes NaN of it.
 */
export async function debug(body: () => unknown, names: Readonly<Record<string, Tensor>> = {}): Promise<DebugReport> {
  const record = new LaunchRecord(names);
  try {
    scope(() => {
      withWatcher((part, run) => record.watch(part, run), body);
    });
    const launches = await record.read();
    return { first: firstOf(launches), launches };
  } finally {
    record.dispose();
  }
}

function firstOf(launches: readonly Recorded[]): NotFinite | null {
  for (const { outputs, given, ...launch } of launches) {
    const masked = launch.inputs.some(({ minusInfinities }) => minusInfinities > 0);
    const written = outputs.find(({ broken, minusInfinities }) => broken > 0 || (minusInfinities > 0 && !masked));
    if (!written) continue;
    const { name, shape, first } = given.find(({ broken }) => broken > 0) ?? written;
    return { ...launch, tensor: name, shape, ...first! };
  }
  return null;
}

interface Seen {
  readonly name: string;
  readonly shape: readonly number[];
  /** `rangeOf` it. */
  readonly range: Tensor;
  /** Nothing in the body computed it. */
  readonly given: boolean;
  result: boolean;
}

type Launch = Extract<Part, { readonly kernel: string }>;
type Op = Extract<Part, { readonly op: string }>;

type Recorded = LaunchRanges & { readonly given: readonly TensorRange[] };

class LaunchRecord {
  readonly #names = new Map<string, string>();
  readonly #storages = new Map<Storage, number>();
  readonly #seen = new Map<string, Seen>();
  readonly #ranges: Tensor[] = [];
  readonly #launches: (Omit<LaunchRanges, "inputs" | "outputs"> & { readonly inputs: Seen[]; readonly outputs: Seen[] })[] = [];
  readonly #layers = new Map<unknown, string>();
  #layer: string | null = null;
  /** What the launches belong to now. */
  #place: { readonly phase: Phase; readonly op: Op | null } = { phase: "forward", op: null };

  constructor(names: Readonly<Record<string, Tensor>>) {
    for (const [name, tensor] of Object.entries(names)) this.#names.set(this.#key(tensor), name);
  }

  /** Runs a part of the body. A launch's tensors are looked at before and after it. */
  watch<T>(part: Part, run: () => T): T {
    if ("kernel" in part) {
      const read = withWatcher(null, () => this.#before(part));
      const result = run();
      withWatcher(null, () => this.#after(part, read));
      return result;
    }
    const around = this.#place;
    this.#place = "phase" in part ? { phase: part.phase, op: null } : { ...around, op: part };
    try {
      const result = run();
      if ("op" in part) this.#mark(result as { readonly y: Tensor } | readonly (Tensor | null)[]);
      return result;
    } finally {
      this.#place = around;
    }
  }

  /** What the launch reads, with the ranges of what nothing has written yet. */
  #before({ kernel, tensors }: Launch): Seen[] {
    const read = [...tensors.filter(({ access }) => access === "read"), ...tensors.filter(({ access }) => access === "update")];
    return read.flatMap(({ name: slot, tensor }) => {
      if (!hasRange(tensor.dtype)) return [];
      const seen = this.#seen.get(this.#key(tensor)) ?? this.#look(tensor, `${slot} of ${kernel}`, true);
      return [seen];
    });
  }

  #after({ kernel, tensors }: Launch, inputs: Seen[]): void {
    const { phase, op } = this.#place;
    this.#layer = this.#layerOf(phase, op?.inputs ?? null) ?? this.#layer;
    const [only, ...others] = op?.inputs ?? [];
    const made = [...tensors.filter(({ access }) => access === "write"), ...tensors.filter(({ access }) => access === "update")];
    const written = made.flatMap(({ name: slot, tensor }) => {
      // A parameter's f16 copy goes by the parameter's name.
      const name = only && others.length === 0 && tensor.dtype !== only.dtype ? this.#names.get(this.#key(only)) : undefined;
      if (name !== undefined) this.#names.set(this.#key(tensor), name);
      return hasRange(tensor.dtype) ? [this.#look(tensor, `${slot} of ${kernel}`, false)] : [];
    });
    this.#launches.push({ phase, op: op?.op ?? null, kernel, layer: this.#layer, inputs, outputs: written });
  }

  /** Marks what an operation, or its backward, returns. */
  #mark(result: { readonly y: Tensor } | readonly (Tensor | null)[]): void {
    for (const tensor of "y" in result ? [result.y] : result) {
      const seen = tensor && this.#seen.get(this.#key(tensor));
      if (seen) seen.result = true;
    }
  }

  async read(): Promise<Recorded[]> {
    const words = await readAll(this.#ranges);
    const found = new Map(this.#ranges.map((range, i) => [range, words[i]!]));
    const rangeOf = ({ name, shape, range, result }: Seen): TensorRange => ({
      name,
      shape,
      result,
      ...readRange(found.get(range)!, shape),
    });
    return this.#launches.map(({ inputs, outputs, ...launch }) => ({
      ...launch,
      inputs: inputs.map(rangeOf),
      outputs: outputs.map(rangeOf),
      given: inputs.filter(({ given }) => given).map(rangeOf),
    }));
  }

  dispose(): void {
    for (const range of this.#ranges) range.dispose();
  }

  #look(tensor: Tensor, what: string, given: boolean): Seen {
    const range = scope(() => keep(rangeOf(tensor)));
    this.#ranges.push(range);
    const key = this.#key(tensor);
    const seen = { name: this.#names.get(key) ?? what, shape: tensor.shape, range, given, result: false };
    this.#seen.set(key, seen);
    return seen;
  }

  /** A place in memory; a view of another shape is the same. */
  #key({ storage, offset, bytes }: Tensor): string {
    const number = this.#storages.get(storage) ?? this.#storages.size;
    this.#storages.set(storage, number);
    return `${number} ${offset} ${bytes}`;
  }

  /** The layer of an operation's parameters; in its backward the same. */
  #layerOf(phase: Phase, inputs: readonly (Tensor | null)[] | null): string | null {
    if (!inputs) return null;
    if (phase !== "forward") return this.#layers.get(inputs) ?? null;
    const names = inputs.flatMap((t) => (t ? (this.#names.get(this.#key(t)) ?? []) : []));
    const layer = names.length > 0 ? common(names) : this.#layer;
    if (layer !== null) this.#layers.set(inputs, layer);
    return layer;
  }
}

/** What dotted names have in common, without the last part of each; a name without dots stands where there are no others. */
function common(names: readonly string[]): string {
  const [first, ...others] = names.filter((name) => name.includes(".")).map((name) => name.split(".").slice(0, -1));
  if (!first) return names[0]!;
  const differs = first.findIndex((part, i) => others.some((other) => other[i] !== part));
  return first.slice(0, differs < 1 ? undefined : differs).join(".");
}
