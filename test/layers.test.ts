/**
 * The house's structural laws. An import goes to the own floor or to one further left:
 *
 *   engine ← kernels ← { checks, models } ← train ← tasks ← bench ← jobs ← app ← cli
 *
 * test/ and examples/ stand above all. Rooms of one floor in braces do not know each other. At the root of kernels/ stand differentiable
 * operations only; they import machinery (the rooms of kernels/), never another operation, and machinery imports no operation.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { expect, test } from "vitest";

const FLOORS: readonly (readonly string[])[] = [
  ["engine"],
  ["kernels"],
  ["checks", "models"],
  ["train"],
  ["tasks"],
  ["bench"],
  ["jobs"],
  ["app"],
  ["cli"],
];
const ROOMS = FLOORS.flat().filter((room) => existsSync(room));
const floorOf = (path: string): number => FLOORS.findIndex((rooms) => rooms.includes(path.split("/")[0]!));

const sources = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((f) => /\.(ts|mts|mjs)$/.test(f) && !/(^|\/)(node_modules|dist)\//.test(f))
    .map((f) => posix.join(folder, f));

/** What a file imports of the project, as paths from the root: static, dynamic and by type. */
const imports = (path: string): string[] =>
  [...readFileSync(path, "utf8").matchAll(/(?:\bfrom|\bimport\(|\bimport) ?"(\.[^"?]+)/g)].map((m) =>
    posix.join(posix.dirname(path), m[1]!),
  );

const edges = ROOMS.flatMap(sources).flatMap((from) => imports(from).map((to) => ({ from, to })));
const shown = (found: readonly { from: string; to: string }[]) => found.map(({ from, to }) => `${from} -> ${to}`);

test("the tree is read", () => {
  expect(edges.length).toBeGreaterThan(800);
});

test("no import goes up, or sideways on a shared floor", () => {
  const wrong = edges.filter(({ from, to }) => {
    if (!to.includes("/")) return false; // vite.config.ts and its like, at the root
    const [a, b] = [floorOf(from), floorOf(to)];
    return b === -1 || b > a || (b === a && from.split("/")[0] !== to.split("/")[0]);
  });
  expect(shown(wrong)).toEqual([]);
});

test("what runs in a page as well as in Node names no module of Node, and no package that only Node has", () => {
  const both = ["engine", "kernels", "checks", "models", "train", "tasks", "jobs", "app"]
    .filter((room) => existsSync(room))
    .flatMap(sources);
  const nodes = both.filter((file) => file !== "tasks/node.ts"); // the entry for Node
  const named = /^(?:import|export)\b[^;]*?from "(?:node:[^"]+|webgpu|sharp|vite|puppeteer[^"]*|commander)"/m;
  expect(nodes.filter((file) => named.test(readFileSync(file, "utf8").replace(/^import type .*$/gm, "")))).toEqual([]);
});

const isOp = (path: string): boolean => /^kernels\/[^/]+\.ts$/.test(path);

test("the root of kernels/ holds differentiable operations only, and none imports an operation", () => {
  expect(sources("kernels").filter((f) => isOp(f) && !/\bdefineOp\(/.test(readFileSync(f, "utf8")))).toEqual([]);
  expect(shown(edges.filter(({ from, to }) => from.startsWith("kernels/") && isOp(to)))).toEqual([]);
});

test("imports make no circle", () => {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) throw new Error([...path.slice(path.indexOf(file)), file].join(" -> "));
    if (done.has(file)) return;
    for (const to of next.get(file) ?? []) visit(to, [...path, file]);
    done.add(file);
  };
  for (const file of next.keys()) visit(file, []);
});
