import { getDevice } from "../engine/device.ts";
import type { Case } from "./check.ts";

/** Each case, and behind it the same with the kernels that a GPU gets: where the adapter is none, they would not run at all. */
export const andOnGpu = (cases: readonly Case[]): Case[] =>
  cases.flatMap((one) => [
    one,
    {
      ...one,
      name: `${one.name}, as on a GPU`,
      async run() {
        const { adapter } = getDevice();
        const { software } = adapter;
        Object.assign(adapter, { software: false });
        try {
          return await one.run();
        } finally {
          Object.assign(adapter, { software });
        }
      },
    },
  ]);
