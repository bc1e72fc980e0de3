/** The tiles that the tensor cores' step tries, with each matrix shape that was found to multiply rightly. */
import { matrixShapes, type MatrixSetup, type Probed } from "../../kernels/gemm/matrix.ts";
import { divides, matrixTile as T, type MatrixTile } from "../../kernels/gemm/matrix-tile.ts";

export interface Variant {
  readonly name: string;
  readonly setup: MatrixSetup;
  readonly tile: MatrixTile;
  readonly direct: boolean;
}

/** From the likeliest on: time may end before the last ones. */
const TILES: readonly MatrixTile[] = [
  T(128, 128, 32, 2, 2, "plain"),
  T(128, 256, 32, 2, 4, "ahead"),
  T(128, 128, 32, 2, 4, "ahead"),
  T(128, 128, 32, 2, 2, "ahead"),
  T(128, 192, 32, 2, 4, "ahead"),
  T(128, 256, 16, 2, 4, "double"),
  T(256, 192, 16, 4, 4, "ahead"),
  T(208, 64, 32, 13, 1, "ahead"),
  T(208, 208, 32, 13, 1, "ahead"),
  T(128, 256, 32, 2, 4, "plain"),
  T(128, 128, 32, 2, 4, "plain"),
  T(256, 128, 32, 4, 2, "ahead"),
  T(256, 128, 32, 4, 2, "plain"),
  T(128, 128, 32, 2, 2, "double"),
  T(128, 128, 32, 2, 4, "double"),
  T(128, 128, 16, 2, 4, "ahead"),
  T(128, 128, 16, 2, 2, "ahead"),
  T(128, 128, 64, 2, 4, "plain"),
  T(128, 128, 64, 2, 2, "plain"),
  T(128, 128, 32, 4, 2, "ahead"),
  T(128, 64, 32, 2, 2, "ahead"),
  T(64, 128, 32, 2, 2, "ahead"),
  T(64, 128, 32, 2, 2, "plain"),
  T(64, 64, 64, 2, 2, "ahead"),
  T(64, 64, 32, 2, 2, "ahead"),
  T(128, 256, 16, 2, 4, "ahead"),
  T(256, 64, 32, 4, 2, "ahead"),
];

export function variants(probed: Probed, smoke: boolean): Variant[] {
  const { setup } = probed;
  if (!setup) return [];
  const { M, N, K } = setup.shape;
  const tileName = (t: MatrixTile) => `${t.bm}x${t.bn}x${t.bk} ${t.gm}x${t.gn} ${t.staging}`;
  const one = (s: MatrixSetup, tile: MatrixTile, direct = false): Variant => ({
    name: `${tileName(tile)}, ${s.shape.M}x${s.shape.N}x${s.shape.K} ${s.syntax}${s.words ? " words" : ""}${direct ? " direct" : ""}`,
    setup: s,
    tile,
    direct,
  });
  // On a processor, a subgroup has 8 threads and small tiles say as much.
  const tiles = smoke
    ? [T(4 * M, 4 * N, 2 * K, 2, 2, "double"), T(4 * M, 4 * N, 2 * K, 2, 4, "ahead"), T(2 * M, 2 * N, 4 * K, 2, 1, "plain")]
    : TILES;
  const others = probed.tried
    .filter((t) => !t.fault)
    .map(({ shape, syntax, words }): MatrixSetup => ({ ...setup, shape, syntax, words }))
    .filter((s) => JSON.stringify(s) !== JSON.stringify(setup));
  // A short run's probe stops at the first that is right; what it did not try is checked where it is fast.
  const next = matrixShapes()[1];
  if (next && !probed.tried.some((t) => t.shape.M === next.M && t.shape.N === next.N && t.shape.K === next.K))
    others.push({ ...setup, shape: next });
  // Every tile by both of the largest kinds of matrices in words; of other forms, and stored directly, a few.
  const [second, ...rest] = [...others.filter((s) => s.words), ...others.filter((s) => !s.words)];
  return [
    ...tiles.flatMap((tile) => [one(setup, tile), ...(second ? [one(second, tile)] : [])]),
    ...tiles.slice(0, 2).map((tile) => one(setup, tile, true)),
    ...rest.map((s) => one(s, tiles[0]!)),
  ].filter(({ setup: s, tile }) => divides(s.shape, tile));
}
