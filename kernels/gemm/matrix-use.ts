/**
 * Switch for products on tensor cores. Products import only this file, so an app that never turns them on does not bundle their kernels.
 */
import { getDevice, type Device } from "../../engine/device.ts";
import type { Described, Gemm } from "./describe.ts";
import type { matrixKernel } from "./matrix-kernel.ts";
import type { MatrixConfig, MatrixTile } from "./matrix-tile.ts";
import type { Cut } from "./waves.ts";

export interface MatrixChoice {
  readonly tile: MatrixTile;
  readonly cut: Cut;
  kernel(c: Pick<MatrixConfig, "aAlongK" | "bAlongK" | "rank" | "edge" | "tail" | "slots">): ReturnType<typeof matrixKernel>;
}

/** Returns null if the ordinary kernels are to run. */
export type ChooseMatrix = (g: Gemm, d: Described) => MatrixChoice | null;

const inUse = new WeakMap<Device, ChooseMatrix>();

export function setMatrixChoice(choose: ChooseMatrix | null): void {
  if (choose) inUse.set(getDevice().origin, choose);
  else inUse.delete(getDevice().origin);
}

export const matrixChoice: ChooseMatrix = (g, d) => inUse.get(getDevice().origin)?.(g, d) ?? null;

/** Whether `useSubgroupMatrix()` turned them on for the current device. */
export const subgroupMatrixInUse = (): boolean => inUse.has(getDevice().origin);
