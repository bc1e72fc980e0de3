/** Nothing without a self-test: the catalog's operations have cases, and every file of operations is imported by some. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ops, suites } from "../checks/catalog.ts";

test("every operation of the catalog has a case, a reference and a size", () => {
  const names = Object.values(suites).flatMap((cases) => cases.map(({ name }) => name));
  for (const op of Object.values(ops)) {
    expect(names.filter((name) => new RegExp(`^${op.name}\\b`).test(name)).length, op.name).toBeGreaterThan(0);
    expect(op.reference, op.name).not.toBeNull();
    expect(op.timed.length, op.name).toBeGreaterThan(0);
  }
});

test("every file of operations is imported by a case that ships", () => {
  const cases = readdirSync("checks/cases")
    .map((file) => readFileSync(`checks/cases/${file}`, "utf8"))
    .join();
  const files = readdirSync("kernels").filter((file) => file.endsWith(".ts"));
  expect(files.filter((file) => !cases.includes(`/kernels/${file}"`))).toEqual([]);
});
