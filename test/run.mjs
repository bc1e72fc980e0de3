#!/usr/bin/env node
/**
 * `npm test`, after set-up: the type check (which counts as one test), then vitest. Arguments go to vitest.
 * What failed is said again at the end, with the first lines of why. The last line is `N passed, N failed`, with `, N skipped` where there are any.
 */
import { spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL("..", import.meta.url));

/** Runs a package's program on this Node; resolves to its exit code. */
function run(name, program, args) {
  const script = join(dirname(require.resolve(`${name}/package.json`)), program);
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [script, ...args], { cwd: root, stdio: "inherit" });
    child.on("error", () => resolve(1));
    child.on("close", (code) => resolve(code ?? 1));
  });
}

/** Vitest's JSON report, or null where it died before writing one. */
function read(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return null;
  } finally {
    rmSync(file, { force: true });
  }
}

/** A failure's first lines, indented: what a log that keeps only its end must still say. */
function shorten(message, lines = 12) {
  return message
    .split("\n")
    .slice(0, lines)
    .map((line) => `    ${line.slice(0, 300)}`)
    .join("\n");
}

/** Counts tests; a file that could not even be collected is one failure. */
function count(report) {
  const counts = { passed: 0, failed: [], skipped: [] };
  for (const file of report?.testResults ?? []) {
    const failedBefore = counts.failed.length;
    for (const test of file.assertionResults) {
      if (test.status === "passed") counts.passed++;
      else if (test.status === "failed")
        counts.failed.push(`${relative(root, file.name)}: ${test.fullName}\n${shorten(test.failureMessages.join("\n"))}`);
      else counts.skipped.push(test.fullName);
    }
    if (file.status === "failed" && counts.failed.length === failedBefore)
      counts.failed.push(`${relative(root, file.name)}\n${shorten(file.message ?? "")}`);
  }
  return counts;
}

console.log("type check");
const typesFine = (await run("typescript", "bin/tsc", ["--noEmit"])) === 0;
console.log(typesFine ? "type check passed" : "type check FAILED");

const file = join(tmpdir(), `tessera-tests-${process.pid}.json`);
const code = await run("vitest", "vitest.mjs", [
  "run",
  "--reporter=default",
  "--reporter=json",
  `--outputFile.json=${file}`,
  ...process.argv.slice(2),
]);
const report = read(file);
const { passed, failed, skipped } = count(report);
let failures = failed.length + (typesFine ? 0 : 1);
if (passed + failed.length === 0) {
  console.log("no test ran");
  failures++;
} else if (code !== 0 && failed.length === 0) {
  console.log("vitest failed outside of any test, see above");
  failures++;
}
if (skipped.length > 0) console.log(`skipped:\n${skipped.map((name) => `  ${name}`).join("\n")}`);
if (failed.length > 0) console.log(`failed:\n${failed.map((text) => `  ${text}`).join("\n")}`);
console.log(`${passed + (typesFine ? 1 : 0)} passed, ${failures} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ""}`);
process.exitCode = failures > 0 ? 1 : 0;
