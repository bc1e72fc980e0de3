#!/usr/bin/env node
/**
 * `npm test`, after set-up: the type check and the check of format and lint (each counts as one test), then vitest. Arguments go to vitest.
 * What was skipped is said at the end, grouped by its reason, and what failed again, with the first lines of why. The last line is
 * `N passed, N failed`, with `, N skipped` where there are any.
 */
import { spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL("..", import.meta.url));

/** Dawn says these at every start of a process, on Mesa's software adapter. */
const REPEATED = /^Warning: max\w+ artificially reduced from /;
const said = new Set();

/** Passes a stream on by the line, without those that every process repeats. */
function show(stream, out) {
  createInterface({ input: stream }).on("line", (line) => {
    if (REPEATED.test(line) && said.size === said.add(line).size) return;
    out.write(`${line}\n`);
  });
}

/** Runs a package's program on this Node; resolves to its exit code. */
function run(name, program, args) {
  const script = join(dirname(require.resolve(`${name}/package.json`)), program);
  return new Promise((resolve) => {
    const env = process.stdout.isTTY ? { ...process.env, FORCE_COLOR: "1" } : process.env;
    const child = spawn(process.execPath, [script, ...args], { cwd: root, env, stdio: ["inherit", "pipe", "pipe"] });
    show(child.stdout, process.stdout);
    show(child.stderr, process.stderr);
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

/** Skipped tests by the reason that their names end with; those without one by their own names. */
function reasons(names) {
  const byReason = new Map();
  for (const name of names) {
    const reason = /\(skipped: (.*)\)$/.exec(name)?.[1] ?? name;
    byReason.set(reason, (byReason.get(reason) ?? 0) + 1);
  }
  return [...byReason].map(([reason, times]) => `  ${times} ${times === 1 ? "test" : "tests"}: ${reason}`);
}

const failed = [];
let passed = 0;
const CHECKS = {
  "type check": ["typescript", "bin/tsc", ["--noEmit"]],
  "format and lint": ["@biomejs/biome", "bin/biome", ["check", "."]],
};
for (const [what, program] of Object.entries(CHECKS)) {
  if ((await run(...program)) === 0) passed++;
  else failed.push(what);
  console.log(`${what} ${failed.includes(what) ? "FAILED" : "passed"}`);
}

const file = join(tmpdir(), `tessera-tests-${process.pid}.json`);
const code = await run("vitest", "vitest.mjs", [
  "run",
  "--reporter=default",
  "--reporter=json",
  `--outputFile.json=${file}`,
  ...process.argv.slice(2),
]);
const tests = count(read(file));
if (tests.passed + tests.failed.length === 0) failed.push("no test ran");
else if (code !== 0 && tests.failed.length === 0) failed.push("vitest failed outside of any test, see above");
failed.push(...tests.failed);
const { skipped } = tests;
if (skipped.length > 0) console.log(`skipped:\n${reasons(skipped).join("\n")}`);
if (failed.length > 0) console.log(`failed:\n${failed.map((text) => `  ${text}`).join("\n")}`);
console.log(`${passed + tests.passed} passed, ${failed.length} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ""}`);
process.exitCode = failed.length > 0 ? 1 : 0;
