/** Tiles of `gemm.ts`'s products, and which of them suits a shape on an adapter that has not been tuned. */
import { getDevice } from "../../engine/device.ts";
import type { Flow, Tile } from "./config.ts";
import { sharedBytes } from "./shared.ts";
import { loadsFirst, rankingOf } from "./vendors.ts";

type Kind = Tile["kind"];

const register = (tm: number, tn: number, y = 8): Tile => ({ kind: "register", x: 8, y, tm, tn, bk: 1 });
const subgroup = (tm: number, tn: number): Tile => ({ kind: "subgroup", x: 8, y: 1, tm, tn, bk: 1 });
const shared = (x: number, y: number, tm: number, tn: number, bk: number, flow: Flow): Tile => ({ kind: "shared", x, y, tm, tn, bk, flow });

/** All tiles. Names give the tile of C per thread (`register-MxN`, `subgroup-MxN`) or per workgroup (`shared-MxN`). */
export const TILES = {
  "register-8x8": register(8, 8),
  "register-8x4": register(8, 4),
  "register-4x8": register(4, 8),
  "register-4x4": register(4, 4),
  "register-flat-8x8": register(8, 8, 1), // one row of threads, for matrices of few rows
  "register-flat-4x8": register(4, 8, 1),
  "register-flat-1x8": register(1, 8, 1),
  "subgroup-24x8": subgroup(24, 8),
  "subgroup-24x4": subgroup(24, 4),
  "subgroup-16x8": subgroup(16, 8),
  "subgroup-16x4": subgroup(16, 4),
  "subgroup-8x8": subgroup(8, 8),
  "subgroup-8x4": subgroup(8, 4),
  "shared-128x128": shared(16, 8, 16, 8, 8, "double"),
  "shared-128x112": shared(14, 8, 16, 8, 8, "double"), // the widths of RegNetY-16GF are multiples of 112
  "shared-128x64": shared(8, 16, 8, 8, 16, "ahead"),
  "shared-104x104": shared(13, 13, 8, 8, 8, "ahead"), // twice 104 holds 197 and 198 tokens
  "shared-104x64": shared(8, 13, 8, 8, 16, "ahead"),
  "shared-64x64": shared(8, 8, 8, 8, 16, "ahead"),
  "shared-64x32": shared(8, 8, 8, 4, 16, "ahead"), // half as many sums a thread, for GPUs of few registers
  "shared-32x32": shared(8, 8, 4, 4, 16, "ahead"),
} as const satisfies Readonly<Record<string, Tile>>;
export type TileName = keyof typeof TILES;

/** A tile, or a kind whose tile is chosen by shape. */
export type GemmVariant = Kind | TileName;

export const isTile = (name: string): name is TileName => Object.hasOwn(TILES, name);
export const isKind = (name: string | undefined): name is Kind => name === "register" || name === "subgroup" || name === "shared";

export const tilesOf = (t: Tile, M: number, N: number): [number, number] => [Math.ceil(M / (t.y * t.tm)), Math.ceil(N / (t.x * t.tn))];

/** Threads of the smallest subgroup: a workgroup of that size is a single subgroup. 1 without subgroups. */
const lanesHere = (): number => getDevice().subgroups?.min ?? 1;

/** The tile with this adapter's subgroup size. Throws where the device has not what it takes. */
export function onDevice(t: Tile): Tile {
  const { maxComputeWorkgroupStorageSize: memory } = getDevice().limits;
  if (t.kind === "shared" && sharedBytes(t) > memory)
    throw new Error(`gemm: expected a device that allows workgroups of ${sharedBytes(t)} bytes, got one of at most ${memory}`);
  if (t.kind === "shared" && loadsFirst(getDevice().adapter.vendor)) return { ...t, flow: "plain" };
  if (t.kind !== "subgroup") return t;
  if (lanesHere() === 1) throw new Error("gemm: expected an adapter with subgroups for a subgroup tile, got one without");
  return { ...t, x: lanesHere() };
}

interface Shape {
  readonly M: number;
  readonly N: number;
  /** In a batch. */
  readonly matrices: number;
  /** Shares that the sum along K can be cut into. */
  readonly cuts: number;
}

/** The default kind for the adapter: on a CPU adapter barriers are the main cost, and shuffles within a subgroup save loads. */
export const usualKind = (): Kind => (!getDevice().adapter.software ? "shared" : lanesHere() > 1 ? "subgroup" : "register");

export const usualTile = (kind: Kind, shape: Shape): Tile => {
  const [best] = rankedTiles(kind, shape);
  return best ? TILES[best] : registerTile(shape);
};

/** The kind's tiles for a shape, the best estimated first. Empty where a tile of registers, made for the shape, is better. */
export const rankedTiles = (kind: Kind, shape: Shape): TileName[] =>
  kind === "shared" ? sharedTiles(shape) : kind === "subgroup" && shape.M > 4 ? subgroupTiles(shape) : [];

// On processors, 64 sums per thread hide the loads; more threads than rows would only repeat the last one.
function registerTile({ M, N }: Shape): Tile {
  return register(M === 1 ? 1 : M <= 4 ? 4 : 8, N > 32 ? 8 : 4, M > 8 ? 8 : 1);
}

// Cost of a load on a processor, in multiply-adds: lanes are loaded one by one.
const LOAD_PER_LANE = 3;

const NAMES = Object.keys(TILES) as TileName[];

/** By their work, including edges and loads. */
function subgroupTiles({ M, N }: Shape): TileName[] {
  const lanes = lanesHere();
  const work = (name: TileName): number => {
    const t = TILES[name];
    const [m, n] = tilesOf({ ...t, x: lanes }, M, N);
    return m * n * (LOAD_PER_LANE * (t.tm + lanes * t.tn) + t.tm * t.tn);
  };
  return NAMES.filter((name) => TILES[name].kind === "subgroup").sort((a, b) => work(a) - work(b));
}

/** Workgroups needed to fill a large GPU. */
export const ENOUGH_TILES = 256;

/** By their estimated speed, given waste at the edges and idle parts of the GPU. */
function sharedTiles({ M, N, matrices, cuts }: Shape): TileName[] {
  const { limits, adapter } = getDevice();
  const { maxComputeWorkgroupStorageSize: memory, maxComputeInvocationsPerWorkgroup: threads } = limits;
  const value = ([name, worth]: readonly [TileName, number]): number => {
    const t = TILES[name];
    const [m, n] = tilesOf(t, M, N);
    const busy = Math.min(1, (m * n * matrices * cuts) / ENOUGH_TILES);
    return (worth * busy * M * N) / (m * t.y * t.tm * n * t.x * t.tn);
  };
  return rankingOf(adapter.vendor)
    .filter(([name]) => sharedBytes(TILES[name]) <= memory && TILES[name].x * TILES[name].y <= threads)
    .toSorted((a, b) => value(b) - value(a))
    .map(([name]) => name);
}
