/** test/models/fuzz.test.ts for longer, and from another seed each day. */
import { expect, test } from "vitest";
import { fuzz, fuzzReaders } from "../models/fuzz.ts";

const SEED = Math.floor(Date.now() / 86_400_000);

test("hostile weights files, 30 s per kind", { timeout: 600_000 }, async () => {
  const { files, read, refused, slowestMs, mostAllocated } = await fuzz({ ms: 30_000 }, SEED);
  console.log(
    `${files} files: ${read} read, ${refused} refused; slowest ${slowestMs.toFixed(0)} ms, most allocated beyond the size ${mostAllocated} bytes`,
  );
  expect(refused).toBeGreaterThan(2000);
});

test("each reader, 100,000 inputs", { timeout: 3_600_000 }, async () => {
  const readers = await fuzzReaders({ runs: 100_000 }, SEED);
  for (const [reader, { files, read, refused, slowestMs, mostAllocated }] of Object.entries(readers)) {
    console.log(
      `| ${reader} | ${files} | ${read} | ${refused} | ${slowestMs.toFixed(0)} ms | ${(Math.max(0, mostAllocated) / 1024).toFixed(0)} KiB | seed ${SEED}`,
    );
    expect(files).toBeGreaterThanOrEqual(100_000);
    expect(read, reader).toBeGreaterThan(100);
    expect(refused, reader).toBeGreaterThan(10_000);
  }
});
