/** The modules of a folder beside this file, by their names, in Node; a page has them by `import.meta.glob`. */
export async function folder<Module>(path: string): Promise<Record<string, Module>> {
  const { readdir } = (await import(/* @vite-ignore */ "node:fs/promises" as string)) as typeof import("node:fs/promises");
  const here = new URL(path, import.meta.url);
  const names = (await readdir(here)).filter((name) => /^[\w-]+\.(ts|js)$/.test(name)).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, (await import(/* @vite-ignore */ new URL(name, here).href)) as Module])),
  );
}
