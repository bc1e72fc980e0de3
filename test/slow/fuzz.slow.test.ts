/** test/models/fuzz.test.ts for longer, and from another seed each day. */
import { expect, test } from "vitest";
import { fuzz } from "../models/fuzz.ts";

test("hostile weights files, 30 s per kind", { timeout: 600_000 }, async () => {
  const { files, read, refused, slowestMs, mostAllocated } = await fuzz(30_000, Math.floor(Date.now() / 86_400_000));
  console.log(
    `${files} files: ${read} read, ${refused} refused; slowest ${slowestMs.toFixed(0)} ms, most allocated beyond the size ${mostAllocated} bytes`,
  );
  expect(refused).toBeGreaterThan(2000);
});
