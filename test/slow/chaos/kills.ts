/** Processes that are killed or told to stop. */
import { existsSync, mkdirSync, readdirSync, watch } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { Fault } from "./fault.ts";
import { begin, expectWhole, folder, goOn, reached, small, STEPS, stepOf, whole, wide } from "./training.ts";

const SAME = "goes on to the bits of an unbroken run, each step once in its metrics";

let runs = 0;
const fresh = () => join(folder, `kill-${runs++}`);

/** The folder of the run that kills befall: one run until it is done, then the next. */
let at = fresh();

const killed: Fault = {
  name: "kill -9 at a random moment",
  tries: 6,
  survives: SAME,
  async attempt(random) {
    const { ms } = await whole(small);
    for (;;) {
      const running = begin(small, at);
      // While it starts, or shortly after one of the checkpoints that are still to come.
      const begun = stepOf(at);
      const after = begun + random.int(STEPS - begun + 1);
      const delay = random.uniform(0, after === begun ? ms : 100);
      const timer = reached(after, at, running).then(() => setTimeout(() => running.child.kill("SIGKILL"), delay));
      const { how, stderr } = await running.ended;
      clearTimeout(await timer);
      if (how === "SIGKILL") {
        const step = stepOf(at); // reads the checkpoint
        if (step === STEPS && existsSync(join(at, "model_ema.safetensors"))) await goOn(small, at);
        return `step ${step}`;
      }
      expect(how, stderr).toBe(0); // it was done before its kill
      await expectWhole(small, at);
      at = fresh();
    }
  },
};

const endOfKilled: Fault = {
  name: "the last of these runs, gone on with",
  tries: 1,
  survives: SAME,
  async attempt() {
    await goOn(small, at);
    return undefined;
  },
};

const killedWriting: Fault = {
  name: "kill -9 while a checkpoint is written",
  tries: 3,
  survives: `${SAME}; what the writer left is removed`,
  async attempt(random) {
    const out = fresh();
    const before = 1 + random.int(wide.steps - 2);
    mkdirSync(out);
    let written = 0;
    const running = begin(wide, out);
    const watcher = watch(out, (_, name) => {
      if (!name?.startsWith(".checkpoint.")) return;
      if (existsSync(join(out, name)) && ++written > before) running.child.kill("SIGKILL");
    });
    const { how, stderr } = await running.ended;
    watcher.close();
    if (how !== "SIGKILL") expect(how, stderr).toBe(0);
    const torn = readdirSync(out).some((name) => name.startsWith(".checkpoint."));
    await goOn(wide, out);
    return torn ? "in mid-write" : undefined;
  },
};

const CODES = [
  ["SIGTERM", 143],
  ["SIGHUP", 129],
  ["SIGINT", 130],
] as const;

const stopped: Fault = {
  name: "SIGTERM, SIGHUP, SIGINT",
  tries: 3,
  survives: `ends saved, with the signal's exit code; ${SAME}`,
  async attempt(random, number) {
    const [signal, code] = CODES[number % CODES.length]!;
    const out = fresh();
    const running = begin(small, out);
    await reached(1 + random.int(STEPS / 2), out, running);
    const before = stepOf(out);
    running.child.kill(signal);
    const { how, stderr } = await running.ended;
    expect(how, stderr).toBe(code);
    expect(stepOf(out)).toBeGreaterThanOrEqual(before);
    await goOn(small, out);
    return undefined;
  },
};

export const kills: readonly Fault[] = [killed, endOfKilled, killedWriting, stopped];
