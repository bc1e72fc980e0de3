/** Notices a GPU that has stopped answering: a hung driver or GPU process leaves every promise of WebGPU pending, without an error. */

/** Seconds without an answer. Far above any launch, also on a software adapter. */
const GPU_TIMEOUT = 300;

const ASK_EVERY_MS = 10_000;

export interface Watch {
  /** `work`'s outcome, or the watch's error where the GPU stops answering before. */
  during<T>(work: Promise<T>): Promise<T>;
  stalled(): boolean;
  stop(): void;
}

/** Calls `ask` repeatedly; it settles when the GPU has finished its work so far. `seconds` 0: no limit. */
export function watchGpu(ask: () => Promise<unknown>, seconds = GPU_TIMEOUT): Watch {
  let timer: NodeJS.Timeout | undefined;
  let stalled = false;
  let stopped = false;
  const given = new Promise<never>((_, reject) => {
    if (seconds === 0) return;
    const giveUp = (): void => {
      stalled = true;
      reject(new Error(`expected the GPU to answer within ${seconds} s, got nothing; --gpu-timeout allows for more`));
    };
    const turn = (): void => {
      timer = setTimeout(giveUp, 1000 * seconds);
      const next = (): void => {
        clearTimeout(timer);
        if (!stalled && !stopped) timer = setTimeout(turn, Math.min(ASK_EVERY_MS, 1000 * seconds)).unref();
      };
      ask().then(next, next); // an error is an answer too: a lost device is reported by the work itself
    };
    turn();
  });
  given.catch(() => undefined); // does not keep the process alive between two calls
  return {
    during: (work) => Promise.race([work, given]),
    stalled: () => stalled,
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
