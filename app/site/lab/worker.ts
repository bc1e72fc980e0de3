/** Where the lab computes, off the page's thread: what hangs here is ended with the worker. One piece of work at a time. */
import { adapterName, initDevice } from "../../../engine/device.ts";
import { DeviceLostError } from "../../../engine/errors.ts";
import { messageOf } from "../shell/message.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

const tell = (message: FromWorker): void => postMessage(message);

const started = initDevice().then(async ({ adapter }) => {
  const judging = await import("./judging.ts");
  tell({ kind: "ready", adapter: adapterName(adapter), software: adapter.software, ops: judging.names() });
  return judging;
});
started.catch((error: unknown) => tell({ kind: "failed", edit: 0, message: messageOf(error) }));

let last: Promise<void> = Promise.resolve();

self.onmessage = async ({ data: message }: MessageEvent<ToWorker>): Promise<void> => {
  const { answer, arrived } = await started;
  arrived(message);
  last = last
    .then(() => answer(message))
    .catch((error: unknown) => {
      const then = error instanceof DeviceLostError ? " The text is kept; its next change is judged on a new device." : "";
      tell({ kind: "failed", edit: message.kind === "judge" ? message.edit : 0, message: `${messageOf(error)}${then}` });
    });
};
