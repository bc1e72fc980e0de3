/** The smallest job there is, to test what runs jobs: copies a file through its host. */
import type { Host } from "../jobs/host.ts";

export default async function (host: Host, { from, to }: { from: string; to: string }): Promise<{ bytes: number; exists: boolean[] }> {
  const bytes = await host.readFile(from);
  await host.writeFile(to, bytes);
  host.log({ copied: bytes.length });
  return { bytes: bytes.length, exists: [await host.exists(to), await host.exists(`${to}.none`)] };
}
