import { expect, test } from "vitest";
import { fuzz } from "./fuzz.ts";

test("hostile weights files: a value or one clear line, soon, within the file's size", async () => {
  const { files, read, refused, slowestMs, mostAllocated } = await fuzz({ runs: 500 }, 20260101);
  console.log(
    `${files} files: ${read} read, ${refused} refused; slowest ${slowestMs.toFixed(0)} ms, most allocated beyond the size ${mostAllocated} bytes`,
  );
  expect(refused).toBeGreaterThan(200);
  expect(read).toBeGreaterThan(20); // damage that no reader can see, or the fuzzer damages nothing
});
