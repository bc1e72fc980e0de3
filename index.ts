/** The package main entry: names only. */
export { initDevice, getDevice } from "./engine/device.ts";
export { Tensor } from "./engine/tensor.ts";
export { train } from "./train/train.ts";
export { createModel } from "./models/model.ts";
