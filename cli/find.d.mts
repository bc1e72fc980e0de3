/** Types of `find.mjs`, which is plain JavaScript because it runs before anything can strip types. */

export interface FoundAdapter {
  /** Vulkan driver file to force, or null for the system's own choice. */
  icd: string | null;
  vendor: string;
  architecture: string;
  device: string;
  description: string;
  software: boolean;
  features: string[];
}

export interface Setup {
  /** The adapter that Node uses by default; null where only a browser has one. */
  node: FoundAdapter | null;
  lavapipeIcd: string | null;
  swiftshaderIcd: string | null;
  chromium: { path: string; version: string } | null;
}

export const SETUP_FILE: string;
export const OLDEST_MESA: number;
export function probeNode(icd: string | null, timeoutMs?: number): Promise<Omit<FoundAdapter, "icd"> | { error: string }>;
export function findVulkan(chromium?: string | null): { lavapipe: string | null; swiftshader: string | null };
export function mesaVersion(description: string | undefined): number | null;
export function findChromium(): Promise<Setup["chromium"]>;
export function look(): Promise<Setup>;
export function readSetup(): Setup | null;
export function writeSetup(found: Setup): Promise<void>;
export function knownSetup(): Promise<Setup>;
