/** `site`: the pages, served to this machine, or built into a folder for any web server. Needs no adapter on this machine: the browser that opens a page has one. */
import type { Command } from "commander";
import { UsageError } from "../../jobs/errors.ts";
import { integer } from "../options.ts";
import { note, print } from "../output.ts";
import { IN_REPOSITORY, shipped } from "../place.ts";

interface Options {
  readonly port: number;
  readonly build?: string;
}

export default function (program: Command): void {
  program
    .command("site")
    .description("serve the site (classify, teach, distil, measure, docs) on this machine, or build it into a folder")
    .option("--port <n>", "port to serve at, 0 to 65535; 0: any free one", integer(0, 65_535), 0)
    .option("--build <folder>", "write the pages to this folder instead of serving them; any web server can host it, under any path")
    .action(async ({ port, build }: Options) => {
      if (!IN_REPOSITORY) throw new UsageError("expected a clone of the repository to build the site from, got the installed package");
      const [{ buildSite }, { serveBenchPage }] = await Promise.all([import("../site.ts"), import("../bench/page.ts")]);
      const into = build ?? shipped("build/site");
      await buildSite(into);
      if (build !== undefined) return print(`${build}: the site\n`);
      const { url } = await serveBenchPage(into, port);
      print(`${url}\n`);
      note("open it in any browser on this machine; Ctrl-C ends");
      await new Promise(() => undefined);
    });
}
