/** Where entries of challenges are judged, off the page's thread: what hangs here is ended with the worker. */
import { adapterName, initDevice } from "../../../engine/device.ts";
import { messageOf } from "../shell/message.ts";
import type { FromJudge, ToJudge } from "./challenge-messages.ts";

const tell = (message: FromJudge): void => postMessage(message);

// Challenges are made of operations, which need a device before they are loaded.
const started = initDevice().then(async ({ adapter }) => {
  const [{ challenges }, { judge }, { newSeed }] = await Promise.all([
    import("../../../checks/challenges.ts"),
    import("../../../jobs/lab/challenges/judge.ts"),
    import("../../../jobs/lab/challenges/drawn.ts"),
  ]);
  const shown = Object.entries(challenges).map(([name, { title, op, formula, hint, start }]) => ({
    name,
    title,
    op,
    formula,
    hint,
    start,
  }));
  tell({ kind: "ready", adapter: adapterName(adapter), challenges: shown });
  return { judge, newSeed, adapter };
});
started.catch((error: unknown) => tell({ kind: "failed", ask: 0, message: messageOf(error) }));

let last: Promise<void> = Promise.resolve();

self.onmessage = async ({ data: { ask, name, code } }: MessageEvent<ToJudge>): Promise<void> => {
  const { judge, newSeed, adapter } = await started;
  last = last.then(async () => {
    try {
      await initDevice(); // anew, where it was lost
      const result = await judge(name, code, { seed: newSeed(), tell: (what, done, of) => tell({ kind: "step", ask, what, done, of }) });
      tell({ kind: "judged", ask, result: { where: "page", adapter: { ...adapter }, date: new Date().toISOString(), ...result } });
    } catch (error) {
      tell({ kind: "failed", ask, message: messageOf(error) });
    }
  });
};
