/** A model on the device: its parameters, and recorded passes for batches of some sizes. After a lost device everything is recreated. */
import { noGrad } from "../engine/autograd.ts";
import type { Device } from "../engine/device.ts";
import { DeviceLostError } from "../engine/errors.ts";
import { placedImage } from "../kernels/images/image.ts";
import { record, type Plan } from "../engine/plan.ts";
import { readAll, Tensor } from "../engine/tensor.ts";
import { normalizeImages } from "../kernels/augment/normalize.ts";
import { inputBytes, preprocess, type Preprocessing } from "../models/images/protocols.ts";
import { storedModel, storedParams, type StoredType } from "../models/mixed-precision.ts";
import type { Model } from "../models/model.ts";
import { loadParams, type Params, type State } from "../models/params.ts";
import { reopenDevice } from "./device.ts";
import type { Picture } from "./pictures.ts";

/** Tensors whose first axis is the batch, from normalised images x (B, 3, size, size). */
export type Pass = (model: Model, params: Params, x: Tensor) => readonly Tensor[];

interface Recorded {
  /** u8 (B, 3, size, size). */
  readonly pixels: Tensor;
  readonly plan: Plan<readonly Tensor[]>;
}

interface Live {
  readonly device: Device;
  readonly params: Params;
  readonly passes: Map<string, Promise<Recorded>>;
}

/** Batches are powers of two up to this, so that few sizes are compiled and nothing is padded. */
const BATCH_MAX = 16;

/** A call fails after this number of lost devices in a row. */
const TRIES = 4;

export class Runtime {
  readonly #model: Model;
  readonly #given: Model;
  readonly #state: State;
  readonly #steps: Preprocessing;
  readonly #dtype: StoredType;
  #live: Live | null = null;
  #disposed = false;

  constructor(model: Model, state: State, steps: Preprocessing, dtype: StoredType) {
    this.#given = model;
    this.#model = storedModel(model, dtype);
    this.#state = state;
    this.#steps = steps;
    this.#dtype = dtype;
  }

  /** Uploads the parameters and compiles the pass for one picture. */
  async prepare(name: string, pass: Pass, onCompile?: (done: number, total: number) => void): Promise<void> {
    await this.#recovering((live) => this.#pass(live, name, pass, 1, onCompile));
  }

  /** The pass's results for each picture: the values of each of its tensors. `name` identifies the pass. */
  async run(name: string, pass: Pass, pictures: readonly Picture[], signal?: AbortSignal): Promise<Float32Array[][]> {
    const results: Float32Array[][] = [];
    while (results.length < pictures.length) {
      const left = pictures.length - results.length;
      const size = Math.min(BATCH_MAX, 2 ** Math.floor(Math.log2(left)));
      const batch = pictures.slice(results.length, results.length + size);
      signal?.throwIfAborted();
      results.push(...(await this.#recovering((live) => this.#batch(live, name, pass, batch))));
    }
    signal?.throwIfAborted();
    return results;
  }

  /** Runs unrecorded work on the preprocessed picture x (1, 3, size, size). */
  async withInput<T>(picture: Picture, work: (model: Model, params: Params, x: Tensor) => Promise<T>): Promise<T> {
    return this.#recovering(async ({ device, params }) => {
      const { size } = this.#steps;
      const bytes = Tensor.zeros([1, 3, size, size], "u8");
      this.#draw([picture], bytes);
      const x = noGrad(() => normalizeImages(bytes, this.#steps));
      try {
        return await work(this.#model, params, x);
      } finally {
        if (!device.lostError) for (const t of [bytes, x]) t.dispose();
      }
    });
  }

  async #batch(live: Live, name: string, pass: Pass, pictures: readonly Picture[]): Promise<Float32Array[][]> {
    const B = pictures.length;
    const { pixels, plan } = await this.#pass(live, name, pass, B);
    // No await from here to the copy for reading, so that simultaneous calls do not mix.
    this.#draw(pictures, pixels);
    plan.run();
    const values = (await readAll(plan.result)) as Float32Array[];
    return pictures.map((_, i) => values.map((all) => all.slice((i * all.length) / B, ((i + 1) * all.length) / B)));
  }

  #draw(pictures: readonly Picture[], pixels: Tensor): void {
    const bytes = pictures.flatMap((p) => (p.kind === "bytes" ? [preprocess(p.image, this.#steps)] : []));
    if (bytes.length === pictures.length) return pixels.write(inputBytes(bytes));
    const { size } = this.#steps;
    const slot = 3 * size * size;
    pictures.forEach((p, i) => {
      if (p.kind === "bytes") new Tensor([slot], "u8", pixels.storage, pixels.offset + i * slot).write(inputBytes([bytes.shift()!]));
      else placedImage("picture", p.image, this.#steps, { storage: pixels.storage, at: (pixels.offset + i * slot) / 4 });
    });
  }

  #pass(live: Live, name: string, pass: Pass, B: number, onCompile?: (done: number, total: number) => void): Promise<Recorded> {
    const key = `${name} ${B}`;
    let made = live.passes.get(key);
    if (!made) {
      made = this.#record(live, pass, B, onCompile);
      live.passes.set(key, made);
      made.catch(() => live.passes.delete(key)); // the next call tries again
    }
    return made;
  }

  async #record({ params }: Live, pass: Pass, B: number, onCompile?: (done: number, total: number) => void): Promise<Recorded> {
    const { size } = this.#steps;
    const pixels = Tensor.zeros([B, 3, size, size], "u8");
    const body = () => noGrad(() => pass(this.#model, params, normalizeImages(pixels, this.#steps)));
    try {
      return { pixels, plan: await record(body, { label: this.#model.name, ...(onCompile ? { onCompile } : {}) }) };
    } catch (error) {
      pixels.dispose();
      throw error;
    }
  }

  /** Runs `work` on the current device; if that is lost meanwhile, runs it again on a new one. */
  async #recovering<T>(work: (live: Live) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      if (this.#disposed) throw new Error("model: expected one in use, got one that was disposed of");
      try {
        return await work(await this.#upload());
      } catch (error) {
        if (!(error instanceof DeviceLostError) || tries === TRIES) throw error;
      }
    }
  }

  async #upload(): Promise<Live> {
    const device = await reopenDevice();
    if (this.#live?.device !== device) {
      const { name, params } = this.#given;
      this.#live = { device, params: storedParams(loadParams(name, params, this.#state), this.#dtype), passes: new Map() };
    }
    return this.#live;
  }

  dispose(): void {
    this.#disposed = true;
    const live = this.#live;
    this.#live = null;
    if (!live || live.device.lostError) return;
    for (const made of live.passes.values()) {
      void made.then(
        ({ pixels, plan }) => {
          plan.dispose();
          pixels.dispose();
        },
        () => undefined,
      );
    }
    for (const tensor of Object.values(live.params)) tensor.dispose();
  }
}
