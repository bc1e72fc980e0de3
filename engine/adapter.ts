/** What an adapter says of itself. */

export interface AdapterDescription {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** Runs on the CPU: its speed says nothing about a GPU. */
  readonly software: boolean;
  readonly features: readonly string[];
}

/** Matrices that a subgroup multiplies at once: (M, K) by (K, N). Types as in WGSL. */
export interface SubgroupMatrix {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** "vendor architecture device description", as far as the adapter says. */
export const adapterName = (a: Pick<AdapterDescription, "vendor" | "architecture" | "device" | "description">): string =>
  [a.vendor, a.architecture, a.device, a.description].filter(Boolean).join(" ") || "unnamed adapter";

/** Matrices that the adapter multiplies; Dawn's device lists none. */
export function matricesOf({ info }: GPUAdapter): SubgroupMatrix[] {
  const { subgroupMatrixConfigs = [] } = (info ?? {}) as { subgroupMatrixConfigs?: Iterable<SubgroupMatrix> };
  return Array.from(subgroupMatrixConfigs, ({ componentType, resultComponentType, M, N, K }) => ({
    componentType,
    resultComponentType,
    M,
    N,
    K,
  }));
}

/** What an adapter says of itself, and whether it is software. Browsers differ in what `info` holds, and some have none. */
export function describeAdapter({
  info,
  features,
}: {
  readonly info: Partial<GPUAdapterInfo> | undefined;
  readonly features: GPUSupportedFeatures;
}): AdapterDescription {
  const { vendor = "", architecture = "", device = "", description = "", isFallbackAdapter = false } = info ?? {};
  const software =
    isFallbackAdapter ||
    /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render/i.test(`${vendor} ${architecture} ${device} ${description}`);
  return { vendor, architecture, device, description, software, features: [...features] as string[] };
}
