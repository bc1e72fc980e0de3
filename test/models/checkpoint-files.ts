/** Tests of checkpoints share these: the files in test/golden, the digests that PyTorch recorded of them, and digests of what is read. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { State } from "../../models/params.ts";

export type Digest = Record<string, { shape: number[]; sha256: string }>;
export const file = (name: string) => new Uint8Array(readFileSync(new URL(`../golden/${name}`, import.meta.url)));
export const golden = JSON.parse(new TextDecoder().decode(file("checkpoints.json"))) as Record<
  "plain" | "distilled" | "ema" | "views" | "vit" | "hf4",
  Digest
>;
export const ascii = (text: string) => new TextEncoder().encode(text);

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) => new Uint8Array(buffer, byteOffset, byteLength);
export const digest = (state: State): Digest =>
  Object.fromEntries(
    [...state].map(([name, { shape, data }]) => [
      name,
      { shape: [...shape], sha256: createHash("sha256").update(bytesOf(data)).digest("hex") },
    ]),
  );
