/** Every name of the first page, with the types that an app would write. */
import {
  AdapterError,
  initDevice,
  loadModel,
  opfs,
  Tensor,
  type Example,
  type FineTuned,
  type Prediction,
  type Progress,
  type VisionModel,
} from "tessera-gpu";
import { loadModelInWorker } from "tessera-gpu/worker";
import { folder, initNodeDevice } from "tessera-gpu/node";
import { deit } from "tessera-gpu/models/deit";

export async function app(photos: Example[], video: HTMLVideoElement, device: GPUDevice): Promise<Prediction> {
  const onProgress = ({ phase, done, total }: Progress): void => console.log(phase, done / total);
  await initDevice({ device });
  const model: VisionModel = await loadModel("/deit.safetensors", { model: "deit_tiny_distilled_patch16_224", inputSize: 64, onProgress });
  const { model: taught, finished }: FineTuned = await model.fineTune(photos, {
    train: "lora",
    checkpoint: opfs("run"),
    recipe: { weightDecay: 0.05 },
    onStep: (m) => console.log(m.loss),
  });
  if (finished) await folder("mine").set(await taught.save({ format: "onnx" }));
  const [first]: Prediction[] = await taught.classify(video);
  const lists: Prediction[][] = await taught.classify([video, "/photo.jpg"]);
  const worker = await loadModelInWorker("/deit.safetensors", { shared: true });
  console.log(lists.length, worker.labels, Tensor.zeros([1]).shape, typeof deit, AdapterError.name, typeof initNodeDevice);
  // @ts-expect-error a misspelt option is no option
  await model.fineTune(photos, { epoch: 3 });
  return first!;
}
