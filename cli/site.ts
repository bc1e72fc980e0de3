/** The site: built into a folder that any web server can host, under any path. */
import { resolve } from "node:path";
import { build } from "vite";
import { UsageError } from "../jobs/errors.ts";
import { IN_REPOSITORY, shipped } from "./place.ts";

/** Fills `folder` anew with the pages. */
export async function buildSite(folder: string): Promise<void> {
  if (!IN_REPOSITORY) throw new UsageError("expected a clone of the repository to build the site from, got the installed package");
  await build({ configFile: shipped("app/site/vite.config.ts"), logLevel: "error", build: { outDir: resolve(folder) } });
}
