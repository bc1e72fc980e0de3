import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["**/node_modules/**", "test/slow/**"], // see vitest.slow.config.ts
    setupFiles: ["test/node-setup.ts"],
    // A process per file: a driver is chosen once per process, and Dawn's instance lives as long as it.
    pool: "forks",
    fileParallelism: true,
    maxWorkers: 2, // a software adapter takes what cores there are
    // First use of a kernel compiles it, on a software adapter for seconds.
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
