/**
 * Switch for products on tensor cores. Products import only this file, so an app that never turns them on does not bundle their kernels.
 */
import { getDevice, type Device } from "../../engine/device.ts";
import type { Tensor } from "../../engine/tensor.ts";
import type { matrixKernel } from "./matrix-kernel.ts";
import type { MatrixConfig, MatrixTile } from "./matrix-tile.ts";
import type { Cut } from "./waves.ts";

/** A product whose kernel is to be chosen. */
export interface MatrixQuestion {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly aAlongK: boolean;
  readonly bAlongK: boolean;
  readonly matrices: number;
  /** Whether op(A) is summed along K too. */
  readonly sums: boolean;
  /** Whether the sum along K may be cut. */
  readonly cuts: boolean;
  /** Lengths, distances and offsets within a and b, and within C, in elements. */
  readonly ab: readonly number[];
  readonly c: readonly number[];
}

export interface MatrixChoice {
  readonly tile: MatrixTile;
  readonly cut: Cut;
  kernel(c: Pick<MatrixConfig, "aAlongK" | "bAlongK" | "rank" | "edge" | "tail" | "slots">): ReturnType<typeof matrixKernel>;
}

/** Returns null if the ordinary kernels are to run. */
export type ChooseMatrix = (question: MatrixQuestion) => MatrixChoice | null;

const inUse = new WeakMap<Device, ChooseMatrix>();

export function setMatrixChoice(choose: ChooseMatrix | null): void {
  if (choose) inUse.set(getDevice().origin, choose);
  else inUse.delete(getDevice().origin);
}

export const matrixChoice: ChooseMatrix = (question) => inUse.get(getDevice().origin)?.(question) ?? null;

/** Whether `useSubgroupMatrix()` turned them on for the current device. */
export const subgroupMatrixInUse = (): boolean => inUse.has(getDevice().origin);
