/** Lets this process run the repository's TypeScript as it is. The packages hold JavaScript and are without this file. */
import { register } from "node:module";

register("./typescript-hooks.mjs", import.meta.url);
