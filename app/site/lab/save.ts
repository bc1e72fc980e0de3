/** The text as a file that `tessera op NAME --file` takes. */
import { download } from "../shell/save.ts";

export const save = (label: string, code: string): void =>
  download(new Blob([`// launch: ${label}\n${code}\n`], { type: "text/plain" }), `${label}.wgsl`);
