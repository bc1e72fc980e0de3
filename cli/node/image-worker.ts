/** The thread's own code: images by request. */
import { parentPort } from "node:worker_threads";
import sharp from "sharp";
import { serveImages } from "../../train/input/workers.ts";
import { nodeImages } from "./images.ts";

sharp.concurrency(1); // several threads run already
const port = parentPort!;
serveImages(
  nodeImages(),
  (onMessage) => port.on("message", onMessage),
  (message, transfer) => port.postMessage(message, transfer),
);
