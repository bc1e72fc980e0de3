/** Titles of the suites, in the order in which reports show them. */
export const SUITES = { kernels: "Kernels", inference: "Inference", train: "Training steps", scaling: "Scaling" } as const;
