/**
 * Races: where a step is first recorded, the three tiles that should suit a product best are timed against each other on the GPU at hand, for
 * 50 ms, and the fastest is used from then on. The ranking by vendor (vendors.ts) knows nothing of a single GPU; a race does.
 *
 * What was found is kept for the adapter and its driver. A tile under which the device was lost is never tried again.
 */
import { adapterName, getDevice, type Device } from "../../engine/device.ts";
import { DeviceLostError } from "../../engine/errors.ts";
import { record, type Plan } from "../../engine/plan.ts";
import { Tensor } from "../../engine/tensor.ts";
import { onUnanswered, tuningInUse, useTuning } from "../shared/tuning.ts";
import { gemm } from "./gemm.ts";
import { productOf, type Product } from "./question.ts";
import { onDevice, rankedTiles, TILES, usualKind, type TileName } from "./tiles.ts";
import { SHORTEST_SHARE } from "./waves.ts";

const CANDIDATES = 3;
const RACE_MS = 50;
/** Of one sample: a wait for the GPU takes up to a millisecond by itself. */
const SAMPLE_MS = 4;
/** Factor by which another tile must beat the first of the ranking. */
const MARGIN = 1.05;
/** A shape matters if its products are at least this share of all that a step multiplies. */
const SHARE = 0.05;
/** Multiply-adds of a product that is timed; of a larger one a part is. */
const LARGEST = 2e9;

const SOURCE = "races";

/** Where a record is kept between runs: a file, a page's IndexedDB. */
export interface RaceStore {
  get(): Promise<Uint8Array | null>;
  set(bytes: Uint8Array): Promise<void>;
}

export interface RaceOptions {
  /** Nothing is kept without it. */
  readonly store?: RaceStore | undefined;
  /** What else the speed depends on, beside the adapter's name: a browser and its version. */
  readonly driver?: string | undefined;
  /** Also on a software adapter. */
  readonly software?: boolean | undefined;
  /** Milliseconds; for tests. */
  readonly now?: (() => number) | undefined;
}

/** As it is kept. */
interface RaceRecord {
  readonly adapter: string;
  /** Of the tiles: other ones are raced anew. */
  readonly version: string;
  /** The fastest tile by question. */
  readonly choices: Record<string, string>;
  /** By question, the tiles under which the device was lost or that failed. */
  readonly out: Record<string, string[]>;
  /** The one being timed: still there in the record of a process that ended in it. */
  running: { readonly question: string; readonly tile: string } | null;
}

interface Races {
  readonly record: RaceRecord;
  /** What was found in the store and is not for this adapter, driver or version. */
  readonly ignored: string | null;
  readonly store: RaceStore | undefined;
}

/** By adapter and driver, so that what a lost device taught holds for the next one. */
const known = new Map<string, Races>();
const inUse = new WeakMap<Device, Races>();

/** Turns races on for the current device. Kernels chosen by `tune` stay as they are. */
export async function useRaces(o: RaceOptions = {}): Promise<void> {
  const device = getDevice();
  if (device.adapter.software && !o.software) return;
  const adapter = [adapterName(device.adapter), o.driver ?? ""].filter(Boolean).join(", ");
  const races = known.get(adapter) ?? (await read(o.store, adapter));
  known.set(adapter, races);
  inUse.set(device, races);
  const before = tuningInUse();
  const tuned = before?.source === SOURCE ? {} : before?.choices;
  const apply = () => useTuning({ source: SOURCE, choices: { ...races.record.choices, ...tuned } });
  apply();
  const asked = new Map<string, number>();
  onUnanswered((question) => asked.set(question, (asked.get(question) ?? 0) + 1));
  const listed = async (): Promise<boolean> => {
    const products = thoseThatMatter(asked);
    asked.clear();
    device.listed = null; // a race records plans itself
    try {
      for (const product of products) await race(product, races, o.now ?? (() => performance.now()));
    } finally {
      device.listed = listed;
    }
    if (products.length > 0) apply();
    return products.length > 0;
  };
  device.listed = listed;
}

/** What races have found on the current device, in a sentence. */
export function describeRaces(): string {
  const races = inUse.get(getDevice().origin);
  if (!races) return "off";
  const { choices, out } = races.record;
  const lost = Object.entries(out).flatMap(([question, tiles]) => tiles.map((tile) => `${tile} is out for ${question}`));
  return [`${Object.keys(choices).length} shapes raced`, ...(races.ignored ? [races.ignored] : []), ...lost].join("; ");
}

interface Asked extends Product {
  readonly question: string;
}

const workOf = ({ B, M, N, K }: Product): number => B * M * N * K;

/** The products that are worth a race, of questions and how often each was asked. */
function thoseThatMatter(asked: ReadonlyMap<string, number>): Asked[] {
  const products = [...asked].flatMap(([question, times]) => {
    const product = productOf("gemm", question);
    return product ? [{ product: { question, ...product }, work: times * workOf(product) }] : [];
  });
  const total = products.reduce((sum, { work }) => sum + work, 0);
  return products.filter(({ work }) => work >= SHARE * total).map(({ product }) => product);
}

/** The same product over fewer matrices, rows or a shorter sum, until it is small enough to be timed in a few milliseconds. */
function shortened({ B, M, K, ...rest }: Product): Product {
  const shorter = { ...rest, B, M, K };
  if (workOf(shorter) <= LARGEST) return shorter;
  const half = (n: number) => 4 * Math.ceil(n / 8);
  return shortened(B > 1 ? { ...shorter, B: Math.ceil(B / 2) } : M >= K ? { ...shorter, M: half(M) } : { ...shorter, K: half(K) });
}

async function race(product: Asked, { record: found, store }: Races, now: () => number): Promise<void> {
  const { question, N } = product;
  const { B, M, K, ta, tb } = shortened(product);
  const tiles = rankedTiles(usualKind(), {
    M: product.M,
    N,
    matrices: product.B,
    cuts: Math.max(1, Math.floor(product.K / SHORTEST_SHARE)),
  })
    .filter((tile) => !found.out[question]?.includes(tile))
    .slice(0, CANDIDATES);
  if (tiles.length < 2) return;
  const a = Tensor.zeros(ta ? [B, K, M] : [B, M, K]);
  const b = Tensor.zeros(tb ? [B, N, K] : [B, K, N]);
  const batch = B > 1 ? [B] : [];
  const launch = (tile: TileName) => () =>
    gemm({
      a: { tensor: a, transposed: ta },
      b: { tensor: b, transposed: tb },
      M,
      N,
      K,
      batch,
      shape: [B, M, N],
      variant: onDevice(TILES[tile]),
    }).y;
  const plans = new Map<TileName, Plan<Tensor>>();
  const ms = new Map<TileName, number>();
  const save = (running: RaceRecord["running"]) => keep(store, Object.assign(found, { running }));
  /** Puts the tile out where its work fails; without the device the race ends. */
  const attempt = async (tile: TileName, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      (found.out[question] ??= []).push(tile);
      ms.delete(tile);
      await save(null);
      if (error instanceof DeviceLostError) throw error;
    }
  };
  const sample = async (tile: TileName, runs: number): Promise<void> => {
    const from = now();
    for (let i = 0; i < runs; i++) plans.get(tile)!.run();
    await plans.get(tile)!.idle();
    ms.set(tile, Math.min(ms.get(tile) ?? Infinity, (now() - from) / runs));
  };
  try {
    for (const tile of tiles) {
      await save({ question, tile });
      await attempt(tile, async () => {
        plans.set(tile, await record(launch(tile), { label: `race ${tile}` }));
        await sample(tile, 1); // drivers compile until here
        ms.set(tile, Infinity);
      });
    }
    const until = now() + RACE_MS;
    const left = () => tiles.filter((tile) => ms.has(tile));
    for (const tile of left()) await attempt(tile, () => sample(tile, 1));
    while (now() < until)
      for (const tile of left()) await attempt(tile, () => sample(tile, Math.ceil(SAMPLE_MS / Math.max(0.05, ms.get(tile)!))));
    const [first] = left();
    const [fastest] = left().sort((x, y) => ms.get(x)! - ms.get(y)!);
    if (first && fastest) found.choices[question] = ms.get(first)! > MARGIN * ms.get(fastest)! ? fastest : first;
    await save(null);
  } finally {
    if (!getDevice().lostError) for (const thing of [...plans.values(), a, b]) thing.dispose();
  }
}

const VERSION = Object.entries(TILES)
  .map(([name, t]) => `${name} ${Object.values(t).join()}`)
  .join("; ");

async function read(store: RaceStore | undefined, adapter: string): Promise<Races> {
  const bytes = await store?.get().catch(() => null);
  const fresh: RaceRecord = { adapter, version: VERSION, choices: {}, out: {}, running: null };
  if (!bytes) return { record: fresh, ignored: null, store };
  const found = parsed(bytes);
  if (found?.adapter !== adapter || found.version !== VERSION) {
    const whose = !found ? "that is none" : found.adapter === adapter ? "of another version" : `of ${found.adapter}`;
    return { record: fresh, ignored: `a record ${whose} is ignored`, store };
  }
  // The process that kept it ended while it timed this one.
  if (found.running) (found.out[found.running.question] ??= []).push(found.running.tile);
  return { record: { ...found, running: null }, ignored: null, store };
}

function parsed(bytes: Uint8Array): RaceRecord | null {
  try {
    const { adapter, version, choices, out, running } = JSON.parse(new TextDecoder().decode(bytes)) as RaceRecord;
    const named = Object.values(choices).every((tile) => Object.hasOwn(TILES, tile)) && Object.values(out).every(Array.isArray);
    return named ? { adapter, version, choices: { ...choices }, out: { ...out }, running } : null;
  } catch {
    return null;
  }
}

/** A store that is full or blocked keeps nothing, which is no reason to fail. */
const keep = async (store: RaceStore | undefined, record: RaceRecord): Promise<void> =>
  store?.set(new TextEncoder().encode(JSON.stringify(record))).catch(() => undefined);
