/** Submits of a bounded time, by a clock that the launches themselves move on. */
import { expect, test, vi } from "vitest";
import { getDevice } from "../../engine/device.ts";
import { Pace } from "../../engine/pace.ts";
import { record } from "../../engine/plan.ts";
import { Tensor } from "../../engine/tensor.ts";
import { sigmoid } from "../../kernels/elementwise.ts";

/** A queue on which launch i takes `ms[i]`; `deaf`: the page hears of all ends at once. */
function standIn(ms: readonly number[], deaf = false) {
  let [time, heard] = [0, 0];
  const clock = vi.spyOn(performance, "now").mockImplementation(() => (deaf ? heard : time));
  const submits: number[][] = [];
  // Ends are told in order, each after the work before it.
  let last = Promise.resolve();
  const queue = {
    onSubmittedWorkDone: () => {
      const until = submits.flat().reduce((sum, i) => sum + ms[i]!, 0);
      last = last.then(() => {
        time = until;
        heard = deaf && until > 0 ? ms.reduce((a, b) => a + b, 0) : until;
      });
      return last;
    },
  } as unknown as GPUQueue;
  const pace = new Pace(ms.map((_, i) => i));
  const run = async () => {
    submits.length = 0;
    pace.run(queue, (launches) => submits.push([...launches]));
    const made = submits.map((launches) => [...launches]);
    await pace.timed;
    return made;
  };
  return { run, end: () => clock.mockRestore() };
}

const sums = (submits: readonly number[][], ms: readonly number[]) => submits.map((s) => s.reduce((sum, i) => sum + ms[i]!, 0));

test("a long step: launch by launch while it is timed, then at most 100 ms together, every launch once and in order", async () => {
  const ms = [60, 40, 20, 70, 10, 250, 10, 5, 5, 40];
  const { run, end } = standIn(ms);
  for (let timed = 0; timed < 2; timed++) expect(await run()).toEqual(ms.map((_, i) => [i]));
  const submits = await run();
  end();
  expect(submits.flat()).toEqual(ms.map((_, i) => i));
  for (const [i, sum] of sums(submits, ms).entries()) expect(sum <= 100 || submits[i]!.length === 1).toBe(true);
  expect(submits.length).toBe(6);
});

test("a short step: one submit from the second run on", async () => {
  const { run, end } = standIn([10, 20, 30, 40]);
  await run();
  const submits = await run();
  end();
  expect(submits).toEqual([[0, 1, 2, 3]]);
});

test("a page that hears of all ends at once: twice the time at most", async () => {
  const ms = Array<number>(40).fill(50);
  const { run, end } = standIn(ms, true);
  for (let timed = 0; timed < 2; timed++) await run();
  const submits = await run();
  end();
  expect(Math.max(...sums(submits, ms))).toBeLessThanOrEqual(200);
});

test("a plan cut into several submits has the same bits, and no more launches", async () => {
  const x = Tensor.from([0.25, -3, 7, 1.5], [4]);
  const body = () => Array.from({ length: 6 }).reduce<Tensor>((y) => sigmoid(y), x);
  const plan = await record(body);
  let time = 0;
  const clock = vi.spyOn(performance, "now").mockImplementation(() => (time += 40)); // each launch takes 40 ms
  const { stats } = getDevice();
  const runs = [];
  for (let i = 0; i < 3; i++) {
    const before = { ...stats };
    plan.run();
    const y = await plan.result.floats();
    await plan.idle();
    runs.push({ y: [...y], launches: stats.launches - before.launches, submits: stats.submits - before.submits });
  }
  clock.mockRestore();
  expect(runs.map(({ submits }) => submits)).toEqual([6, 6, 3]);
  expect(runs.map(({ launches }) => launches)).toEqual([6, 6, 6]);
  expect(runs[2]!.y).toEqual(runs[0]!.y);
  plan.dispose();
  x.dispose();
});
