/** Races of tiles, by a clock that the launches move on: each number of workgroups is another tile. */
import { afterEach, expect, test } from "vitest";
import { openNodeDevice } from "../../cli/node/adapter.ts";
import { getDevice } from "../../engine/device.ts";
import { record } from "../../engine/plan.ts";
import { Tensor } from "../../engine/tensor.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import { describeRaces, useRaces, type RaceStore } from "../../kernels/gemm/race.ts";
import { onDevice, rankedTiles, TILES, tilesOf, usualKind } from "../../kernels/gemm/tiles.ts";
import { useTuning } from "../../kernels/shared/tuning.ts";

const SHAPE = { M: 128, N: 128, matrices: 1, cuts: 1 };
const question = "gemm 1x128x128x128 NN";
const ranked = () => rankedTiles(usualKind(), SHAPE).slice(0, 3);
const groupsOf = (tile: keyof typeof TILES): number => tilesOf(onDevice(TILES[tile]), 128, 128).reduce((a, b) => a * b);

function memory() {
  let kept: Uint8Array | null = null;
  const store: RaceStore = { get: async () => kept, set: async (bytes) => void (kept = bytes) };
  return {
    store,
    record: () => JSON.parse(new TextDecoder().decode(kept!)),
    put: (value: unknown) => (kept = new TextEncoder().encode(JSON.stringify(value))),
  };
}

/** Counts dispatches by their number of workgroups; each takes `ms` of it on the clock. */
function watched(ms: (groups: number) => number, before: (groups: number) => void = () => undefined) {
  const { gpu } = getDevice();
  const create = gpu.createCommandEncoder.bind(gpu);
  const seen: number[] = [];
  let time = 0;
  gpu.createCommandEncoder = (descriptor) => {
    const encoder = create(descriptor);
    const begin = encoder.beginComputePass.bind(encoder);
    encoder.beginComputePass = (d) => {
      const pass = begin(d);
      const dispatch = pass.dispatchWorkgroups.bind(pass);
      pass.dispatchWorkgroups = (x, y, z) => {
        seen.push(x);
        time += ms(x);
        before(x);
        dispatch(x, y, z);
      };
      return pass;
    };
    return encoder;
  };
  return { seen, now: () => time, end: () => void (gpu.createCommandEncoder = create) };
}

/** Records and runs the product of ones; the number of workgroups that it took. */
async function product(): Promise<number> {
  const a = Tensor.from(new Float32Array(128 * 128).fill(1), [128, 128]);
  const plan = await record(() => gemm({ a: { tensor: a }, b: { tensor: a }, M: 128, N: 128, K: 128, shape: [128, 128] }).y);
  plan.run();
  expect((await plan.result.floats()).every((v) => v === 128)).toBe(true);
  const { x } = plan.steps[0]!;
  plan.dispose();
  a.dispose();
  return x;
}

afterEach(() => useTuning(null));

test("the fastest of three is used from the first recording on, and kept; the next start does not race", async () => {
  const { store, record: kept } = memory();
  const [first, second, third] = ranked() as [keyof typeof TILES, keyof typeof TILES, keyof typeof TILES];
  const slow = (groups: number) => (groups === groupsOf(third) ? 3 : groups === groupsOf(second) ? 8 : 9);
  const clock = watched(slow);
  await useRaces({ store, driver: "one", software: true, now: clock.now });
  expect(await product()).toBe(groupsOf(third));
  expect(kept().choices).toEqual({ [question]: third });
  expect(new Set(clock.seen)).toEqual(new Set([first, second, third].map(groupsOf)));
  clock.seen.length = 0;
  await useRaces({ store, driver: "one", software: true, now: clock.now });
  expect(await product()).toBe(groupsOf(third));
  expect(clock.seen).toEqual([groupsOf(third)]);
  expect(describeRaces()).toBe("1 shapes raced");
  clock.end();
});

test("a tie keeps the first of the ranking", async () => {
  const clock = watched(() => 5);
  await useRaces({ driver: "tie", software: true, now: clock.now });
  expect(await product()).toBe(groupsOf(ranked()[0]!));
  clock.end();
});

test("a record of another driver, or of other tiles, is ignored, and so is a damaged one; all are said", async () => {
  for (const [wrong, said] of [
    [{ adapter: "GPU, driver 1", version: "x", choices: { [question]: "subgroup-8x4" }, out: {}, running: null }, "of GPU, driver 1"],
    [{ choices: { [question]: "no such tile" } }, "that is none"],
  ] as const) {
    const { store, put } = memory();
    put(wrong);
    await useRaces({ store, driver: said, software: true });
    expect(describeRaces()).toContain(`a record ${said} is ignored`);
  }
  const { store, record: kept, put } = memory();
  const clock = watched(() => 5);
  await useRaces({ store, driver: "version", software: true, now: clock.now });
  await product();
  clock.end();
  put({ ...kept(), adapter: kept().adapter.replace("version", "version 2"), version: "older tiles" });
  await useRaces({ store, driver: "version 2", software: true });
  expect(describeRaces()).toBe("0 shapes raced; a record of another version is ignored");
});

test("a record of a process that ended in a race puts that tile out", async () => {
  const { store, record: kept, put } = memory();
  const clock = watched(() => 5);
  await useRaces({ store, driver: "ended", software: true, now: clock.now });
  await product();
  const [first, second] = ranked();
  put({ ...kept(), adapter: kept().adapter.replace("ended", "ended 2"), choices: {}, running: { question, tile: first } });
  await useRaces({ store, driver: "ended 2", software: true, now: clock.now });
  expect(await product()).toBe(groupsOf(second!));
  clock.end();
});

test("a device lost in a race: that tile is out, and the work goes on with another device", async () => {
  const { store } = memory();
  const [first, second] = ranked();
  const clock = watched(
    () => 5,
    (groups) => groups === groupsOf(first!) && getDevice().gpu.destroy(),
  );
  await useRaces({ store, driver: "lost", software: true, now: clock.now });
  await expect(product()).rejects.toThrow(/device lost/);
  await openNodeDevice(process.env["TESSERA_ICD"]);
  const again = watched(() => 5);
  await useRaces({ store, driver: "lost", software: true, now: again.now });
  expect(await product()).toBe(groupsOf(second!));
  expect(describeRaces()).toContain(`${first} is out for ${question}`);
  again.end();
});

test("software adapters do not race unless asked", async () => {
  await openNodeDevice(process.env["TESSERA_ICD"]);
  getDevice().listed = null;
  await useRaces();
  expect(getDevice().listed === null).toBe(getDevice().adapter.software);
});
