/**
 * Where images are prepared: in this thread, or in workers. Either way a fixed number at a time, first come first served.
 */
import { prepareImage, type Prepare, type Prepared, type Task } from "./prepare.ts";
import type { ImagePlatform, ImageWorker } from "./source.ts";

export type Outcome = Prepared | { readonly corrupt: string };

export interface Preparer {
  run(task: Task): Promise<Outcome>;
  /** Waiting requests are dropped and reject; running ones are not awaited. */
  close(): Promise<void>;
}

interface Request {
  readonly id: number;
  readonly task: Task;
  readonly prepare: Prepare;
}
interface Answer {
  readonly id: number;
  readonly outcome?: Outcome;
  readonly error?: { readonly name: string; readonly message: string };
}

/** Requests in flight per worker, so that it does not wait for the next. */
const PER_WORKER = 2;
/** Requests in flight without workers: the platform's decoders run in parallel to this thread. */
const IN_THREAD = 4;

/** The worker's side: answers the requests that `listen` passes on. */
export function serveImages(
  platform: ImagePlatform,
  listen: (onMessage: (message: unknown) => void) => void,
  post: (message: unknown, transfer: ArrayBuffer[]) => void,
): void {
  listen((message) => {
    const { id, task, prepare } = message as Request;
    prepareImage(task, prepare, platform).then(
      (outcome) => post({ id, outcome } satisfies Answer, "data" in outcome ? [outcome.data.buffer] : []),
      ({ name, message }: Error) => post({ id, error: { name, message } } satisfies Answer, []),
    );
  });
}

interface Waiting {
  readonly task: Task;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: Error) => void;
}

/** `count` 0 prepares in this thread. */
export function startPreparer(platform: ImagePlatform, prepare: Prepare, count: number): Preparer {
  const queue: Waiting[] = [];
  let closed: Error | undefined;
  const lanes =
    count === 0
      ? [{ size: IN_THREAD, running: 0, run: (task: Task) => prepareImage(task, prepare, platform), close: async () => undefined }]
      : Array.from({ length: count }, () => ({ size: PER_WORKER, running: 0, ...lane(platform.startWorker(), prepare) }));

  const pump = (): void => {
    for (;;) {
      const free = lanes.filter((l) => l.running < l.size).sort((a, b) => a.running - b.running)[0];
      const next = free && queue.shift();
      if (!free || !next) return;
      free.running++;
      free
        .run(next.task)
        .then(next.resolve, next.reject)
        .finally(() => {
          free.running--;
          pump();
        });
    }
  };

  return {
    run: (task) =>
      new Promise((resolve, reject) => {
        if (closed) return reject(closed);
        queue.push({ task, resolve, reject });
        pump();
      }),
    async close() {
      closed ??= new Error("input: the pipeline was closed");
      for (const { reject } of queue.splice(0)) reject(closed);
      await Promise.all(lanes.map((l) => l.close()));
    },
  };
}

/** Requests and answers of one worker, paired. */
function lane(worker: ImageWorker, prepare: Prepare): { run(task: Task): Promise<Outcome>; close(): Promise<void> } {
  const open = new Map<number, { resolve: (outcome: Outcome) => void; reject: (error: Error) => void }>();
  let next = 0;
  let dead: Error | undefined;
  const fail = (error: Error): void => {
    dead ??= error;
    for (const { reject } of open.values()) reject(dead);
    open.clear();
  };
  worker.listen((message) => {
    const { id, outcome, error } = message as Answer;
    const waiting = open.get(id);
    open.delete(id);
    if (outcome) waiting?.resolve(outcome);
    else waiting?.reject(Object.assign(new Error(error!.message), { name: error!.name }));
  }, fail);
  return {
    run: (task) =>
      new Promise((resolve, reject) => {
        if (dead) return reject(dead);
        const id = next++;
        open.set(id, { resolve, reject });
        // Copies a view into a set in memory, so that the whole set is not sent.
        const at = "data" in task.at ? { ...task.at, data: task.at.data.slice() } : task.at;
        worker.post({ id, task: { ...task, at }, prepare } satisfies Request, "data" in at ? [at.data.buffer] : []);
      }),
    async close() {
      fail(new Error("input: the pipeline was closed"));
      await worker.close();
    },
  };
}
