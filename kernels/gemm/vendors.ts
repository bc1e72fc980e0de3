/**
 * Which tiles of workgroup memory to prefer, by the GPU's vendor: the sums that a thread keeps must fit into its registers, or the loop along
 * K spills. A thread has 64 registers on Arm's Mali, 64 floats on Intel before Xe3 (at the width that WebGPU gets) and about as many on
 * Qualcomm's Adreno, 128 on Apple's, 256 on AMD's and NVIDIA's.
 */
// Products per second without edges, relative to the fastest: on an H100 at 4096^3 (bench/gpu).
const LARGE = [
  ["shared-128x128", 1],
  ["shared-128x112", 0.72],
  ["shared-128x64", 0.87],
  ["shared-104x104", 0.6],
  ["shared-104x64", 0.7],
  ["shared-64x64", 0.81],
  ["shared-32x32", 0.4],
] as const;

type Ranking = readonly (readonly [(typeof LARGE)[number][0] | "shared-64x32", number])[];

// The same with at most 64 sums a thread: for GPUs that do not say whose they are, where it costs a large one a seventh at most.
const MIDDLE: Ranking = LARGE.filter(([name]) => name !== "shared-128x128" && name !== "shared-128x112");
// At most 64, 32 and 16 sums a thread; not measured.
const APPLE: Ranking = [
  ["shared-64x64", 1],
  ["shared-64x32", 0.8],
  ["shared-32x32", 0.6],
];
const INTEL: Ranking = [
  ["shared-64x32", 1],
  ["shared-32x32", 0.8],
];
const ARM: Ranking = [["shared-32x32", 1]];

const BY_VENDOR: Readonly<Record<string, Ranking>> = {
  nvidia: LARGE,
  amd: LARGE,
  samsung: LARGE, // AMD's architecture
  mesa: LARGE, // llvmpipe and SwiftShader, which tests have stand in for a large GPU
  google: LARGE,
  apple: APPLE,
  intel: INTEL,
  qualcomm: INTEL,
  arm: ARM,
  "img-tec": ARM,
  broadcom: ARM,
};

/** Tiles with their relative speed on a GPU of this vendor, as WebGPU names it. */
export const rankingOf = (vendor: string): Ranking => BY_VENDOR[vendor.toLowerCase()] ?? MIDDLE;

/**
 * Registers of a thread on tensor cores (`registersOf` of matrix-tile.ts), at most. AMD's compiler spills what is above, and nothing below
 * (Mesa 25.0.7 for navi31; test/slow/radv).
 */
export const mostRegisters = (vendor: string): number => (vendor.toLowerCase() === "amd" ? 216 : Infinity);

/** Whether a thread has no registers for the next slab's loads while it multiplies this one. */
export const loadsFirst = (vendor: string): boolean => vendor.toLowerCase() === "apple";
