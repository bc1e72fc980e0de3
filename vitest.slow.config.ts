/** `npm run test:slow`: what takes minutes on a software adapter. One file, one test after the other: models at full size fill a memory. */
import { defineConfig } from "vitest/config";

const MINUTE = 60_000;

export default defineConfig({
  test: {
    include: ["test/slow/**/*.slow.test.ts"],
    setupFiles: ["test/node-setup.ts"],
    pool: "forks",
    execArgv: ["--expose-gc"],
    fileParallelism: false,
    testTimeout: 20 * MINUTE,
    hookTimeout: 2 * MINUTE,
  },
});
