/** `train` on a device that fails after a step: it is destroyed, or asked for a buffer that no memory is left for. */
import type { Host } from "../../jobs/host.ts";
import trainJob, { type TrainArgs, type TrainSummary } from "../../jobs/train.ts";
import { getDevice } from "../../engine/device.ts";

export interface FailingArgs extends TrainArgs {
  readonly failure: "destroyed" | "memory";
  readonly afterStep: number;
}

export default function (host: Host, { failure, afterStep, ...args }: FailingArgs): Promise<TrainSummary> {
  const fail = (): void => {
    const { gpu, limits } = getDevice();
    if (failure === "destroyed") gpu.destroy();
    else gpu.createBuffer({ size: limits.maxBufferSize, usage: GPUBufferUsage.STORAGE });
  };
  return trainJob(
    {
      ...host,
      progress(state) {
        if (state.label === "train" && state.done === afterStep) fail();
        host.progress(state);
      },
    },
    args,
  );
}
