/**
 * The kernel developer's loop: checks and times one operation again whenever a file that its kernels are made of is saved.
 * Each time in a new process, so that the saved text runs and a crash does not end the watcher.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { readdirSync, readFileSync, watch } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { print } from "./output.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/**
 * The op's own file and every file of kernels and the engine that it imports, the cases that import the op, and their references; from
 * the repository's root.
 */
export function sourcesOf(op: string): string[] {
  const cases = join(ROOT, "checks/cases");
  const found = new Set<string>();
  const visit = (file: string, into: (path: string) => boolean) => {
    if (found.has(file)) return;
    found.add(file);
    for (const [, path] of readFileSync(file, "utf8").matchAll(/^(?:import|export)\b[^;]*? from "(\.[^"]*)"/gm))
      if (into(path!)) visit(join(dirname(file), path!), into);
  };
  for (const name of readdirSync(cases)) {
    const file = join(cases, name);
    const own = [...readFileSync(file, "utf8").matchAll(/import \{([^}]*)\} from "(\.\.\/\.\.\/kernels\/[\w-]+\.ts)"/g)].find(([, names]) =>
      names!.split(/[\s,]+/).includes(op),
    );
    if (!own) continue;
    visit(join(cases, own[2]!), () => true);
    visit(file, (path) => path.startsWith("../reference/"));
  }
  return [...found].map((file) => relative(ROOT, file));
}

/** Editors save in several steps; a check begins this many milliseconds after the last one. */
const QUIET_MS = 150;

/**
 * Runs `node ARGS` now and after each change, one at a time; a change ends the run before. With `file`, a path from where the command was
 * started, that file is what is watched. Never resolves: Ctrl-C ends it.
 */
export function watchOp(op: string, args: readonly string[], file?: string): Promise<never> {
  const sources = new Set(file === undefined ? sourcesOf(op) : [relative(ROOT, resolve(file))]);
  let child: ChildProcess | null = null;
  let timer: NodeJS.Timeout | undefined;
  const run = (why: string) => {
    child?.kill();
    print(`\n${new Date().toTimeString().slice(0, 8)} ${why}\n`);
    const own = (child = spawn(process.execPath, args, { cwd: process.cwd(), stdio: ["ignore", "inherit", "inherit"] }));
    own.on("close", () => {
      if (child !== own) return; // a newer run has replaced it
      child = null;
      print(`watching ${file ?? `${sources.size} files of ${op}`}\n`);
    });
  };
  for (const folder of new Set([...sources].map(dirname))) {
    watch(join(ROOT, folder), (_, file) => {
      const changed = file === null ? undefined : join(folder, basename(file));
      if (changed === undefined || !sources.has(changed)) return;
      clearTimeout(timer);
      timer = setTimeout(() => run(`${changed} was saved`), QUIET_MS);
    });
  }
  process.once("exit", () => child?.kill());
  run(`checking ${op}`);
  return new Promise<never>(() => {});
}
