/** A thread of the input pipeline in a page. Its name says where files are read. */
import { serveImages } from "../train/input/workers.ts";
import { pageImages } from "./page-images.ts";

const self = globalThis as unknown as {
  name: string;
  onmessage: (event: MessageEvent) => void;
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
};
serveImages(
  pageImages(self.name),
  (onMessage) => (self.onmessage = (event) => onMessage(event.data)),
  (message, transfer) => self.postMessage(message, transfer),
);
