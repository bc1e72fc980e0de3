/** TensorFlow.js on WebGPU, on our adapter with a device of its own. */
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-webgpu";
import { sameAdapter, type Contender, type RivalOptions } from "../contender.ts";
import { contender } from "./tfjs.ts";

/** What its backend has and does not export; the only way to wait for the GPU without reading a tensor. */
interface Backend {
  readonly device: GPUDevice;
  readonly queue: GPUQueue;
  readonly commandEncoder: GPUCommandEncoder | null;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

const FLAGS = [
  "WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE",
  "WEBGPU_CPU_FORWARD",
  "WEBGPU_CPU_HANDOFF_SIZE_THRESHOLD",
  "WEBGPU_MATMUL_PROGRAM_TYPE",
  "WEBGPU_THRESHOLD_TO_INCREASE_WORKGROUPS_FOR_MATMUL",
  "WEBGPU_CONV_SEPARATE_IM2COL_SHADER",
  "WEBGPU_USE_NAIVE_CONV2D_TRANSPOSE",
];

export default async function start({ wait, adapter }: RivalOptions): Promise<Contender> {
  const backend = () => tf.backend() as unknown as Backend;
  const idle = async (): Promise<void> => {
    const b = backend();
    // What is still being encoded has to be closed before it is submitted, or it is dropped without a word.
    if (b.commandEncoder) {
      b.endComputePassEncoder();
      b.submitQueue();
    }
    await wait(b.queue.onSubmittedWorkDone());
  };
  const made = await contender("tfjs", "webgpu", idle, Object.fromEntries(FLAGS.map((flag) => [flag, tf.env().get(flag)])));
  sameAdapter("tfjs", adapter, backend().device.adapterInfo);
  return made;
}
