/** The folder of what is fetched or found once on this machine. Node only. */
import { homedir } from "node:os";
import { join } from "node:path";

/** $TESSERA_CACHE, else $XDG_CACHE_HOME/tessera, else ~/.cache/tessera. */
export function defaultCacheDir(env: Record<string, string | undefined> = process.env): string {
  if (env["TESSERA_CACHE"]) return env["TESSERA_CACHE"];
  return join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "tessera");
}
