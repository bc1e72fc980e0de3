/** Tiles of `gemm.ts`'s products, and which of them suits a shape on an adapter that has not been tuned. */
import { getDevice } from "../../engine/device.ts";
import type { Flow, Tile } from "./config.ts";
import { sharedBytes } from "./shared.ts";

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

export const usualTile = (kind: Kind, shape: Shape): Tile =>
  kind === "shared" ? sharedTile(shape) : kind === "subgroup" && shape.M > 4 ? subgroupTile(shape) : registerTile(shape);

// On processors, 64 sums per thread hide the loads; more threads than rows would only repeat the last one.
function registerTile({ M, N }: Shape): Tile {
  return register(M === 1 ? 1 : M <= 4 ? 4 : 8, N > 32 ? 8 : 4, M > 8 ? 8 : 1);
}

// Cost of a load on a processor, in multiply-adds: lanes are loaded one by one.
const LOAD_PER_LANE = 3;

/** The tile with the least work, including edges and loads. */
function subgroupTile({ M, N }: Shape): Tile {
  const lanes = lanesHere();
  let best: Tile | undefined,
    least = Infinity;
  for (const t of Object.values(TILES)) {
    if (t.kind !== "subgroup") continue;
    const [m, n] = tilesOf({ ...t, x: lanes }, M, N);
    const work = m * n * (LOAD_PER_LANE * (t.tm + lanes * t.tn) + t.tm * t.tn);
    if (work < least) [best, least] = [t, work];
  }
  return best!;
}

// Products per second of a tile without edges, measured on an H100 at 4096^3 (bench/gpu): relative to the fastest.
const WORTH = [
  ["shared-128x128", 1],
  ["shared-128x112", 0.72],
  ["shared-128x64", 0.87],
  ["shared-104x104", 0.6],
  ["shared-104x64", 0.7],
  ["shared-64x64", 0.81],
  ["shared-32x32", 0.4],
] as const;

/** Workgroups needed to fill a large GPU. */
export const ENOUGH_TILES = 256;

/** The tile with the highest estimated speed, given waste at the edges and idle parts of the GPU. */
function sharedTile({ M, N, matrices, cuts }: Shape): Tile {
  const { maxComputeWorkgroupStorageSize: memory, maxComputeInvocationsPerWorkgroup: threads } = getDevice().limits;
  let best: Tile = TILES["shared-32x32"],
    most = 0;
  for (const [name, worth] of WORTH) {
    const t = TILES[name];
    if (sharedBytes(t) > memory || t.x * t.y > threads) continue;
    const [m, n] = tilesOf(t, M, N);
    const busy = Math.min(1, (m * n * matrices * cuts) / ENOUGH_TILES);
    const value = (worth * busy * M * N) / (m * t.y * t.tm * n * t.x * t.tn);
    if (value > most) [best, most] = [t, value];
  }
  return best;
}
