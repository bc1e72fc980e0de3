/** A page's state as the part of an address behind "#", which no server sees: deflated JSON in base64url, with its version and a checksum. */
import { deflateSync, inflateSync, strFromU8, strToU8 } from "fflate";

/** Longer ones are cut on their way, and could inflate to more than a page should hold. */
const LONGEST = 64_000;

/** The hash, "#" included. `page` names the page in errors. Throws where `state` is too much for a link. */
export function toHash(page: string, version: string, state: unknown): string {
  const bytes = deflateSync(strToU8(JSON.stringify(state)), { level: 9 });
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  const hash = `#${version}.${checksum(bytes)}.${text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
  if (hash.length > LONGEST)
    throw new Error(`${page}: expected what fits a link of ${LONGEST} characters, got ${hash.length}; save it as a file instead`);
  return hash;
}

/** The state of a hash, to be checked by the caller. Throws, saying why, where a link is cut, damaged or another version's. */
export function fromHash(page: string, version: string, hash: string): unknown {
  const [got, sum, text] = hash.replace(/^#/, "").split(".");
  if (got !== version)
    throw new Error(`${page}: expected a link of version ${version}, got ${got ? `version ${got.slice(0, 20)}` : "none"}`);
  const damaged = new Error(`${page}: expected a whole link, got one that was cut or changed`);
  if (hash.length > LONGEST) throw damaged;
  try {
    const bytes = Uint8Array.from(atob(text!.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    if (checksum(bytes) !== sum) throw damaged;
    return JSON.parse(strFromU8(inflateSync(bytes))) as unknown;
  } catch {
    throw damaged;
  }
}

/** FNV-1a, 32 bits: tells a cut link from a whole one. */
function checksum(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(36);
}
