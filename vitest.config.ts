import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The files that take minutes begin first, so that none of them is left for one worker at the end. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => (/\/chromium-\d\.test\.ts$/.test(moduleId) ? 0 : 1);
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["**/node_modules/**", "test/slow/**"], // see vitest.slow.config.ts
    setupFiles: ["test/node-setup.ts"],
    // A process per file: a driver is chosen once per process, and Dawn's instance lives as long as it.
    pool: "forks",
    fileParallelism: true,
    maxWorkers: 2, // a software adapter takes what cores there are
    sequence: { sequencer: LongFirst },
    // First use of a kernel compiles it, on a software adapter for seconds.
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
