/** The lab's state as the part of an address behind "#", which no server sees: deflated JSON in base64url. */
import { deflateSync, inflateSync, strFromU8, strToU8 } from "fflate";

export interface Shared {
  readonly op: string;
  /** The kernel's name in the list, and the shipped text that was edited. */
  readonly kernel: string;
  readonly shipped: string;
  readonly code: string;
}

const VERSION = "1";

export function toHash(state: Shared): string {
  const bytes = deflateSync(strToU8(JSON.stringify(state)), { level: 9 });
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return `#${VERSION}.${checksum(bytes)}.${text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
}

/** Throws, saying why, where a link is cut, damaged or another version's. */
export function fromHash(hash: string): Shared {
  const [version, sum, text] = hash.replace(/^#/, "").split(".");
  if (version !== VERSION)
    throw new Error(`lab: expected a link of version ${VERSION}, got ${version ? `version ${version.slice(0, 20)}` : "none"}`);
  const damaged = new Error("lab: expected a whole link, got one that was cut or changed");
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.from(atob(text!.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  } catch {
    throw damaged;
  }
  if (checksum(bytes) !== sum) throw damaged;
  return JSON.parse(strFromU8(inflateSync(bytes))) as Shared;
}

/** FNV-1a, 32 bits: tells a cut link from a whole one. */
function checksum(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(36);
}
