/**
 * Has kernels run another WGSL text than their own, bindings and workgroups as they are: for those who are writing a kernel, and for
 * checks that run one under harder conditions. Launches already recorded keep the text that they were recorded with.
 */
import { pipelineOf, type Pipeline } from "./pipeline.ts";

/** A kernel's name and its whole WGSL. */
export interface Module {
  readonly label: string;
  readonly code: string;
}

/** Another text for a kernel's module, or null to leave it. Sees the text that rewrites before it left. */
export type Rewrite = (module: Module) => string | null;

const rewrites: Rewrite[] = [];

/** Asks `rewrite` at every launch from now on, after those asked before. Returns what ends that. */
export function rewriteModules(rewrite: Rewrite): () => void {
  rewrites.push(rewrite);
  return () => void rewrites.splice(rewrites.indexOf(rewrite), 1);
}

/** The pipeline to launch in place of a kernel's own. */
export function rewritten(pipeline: Pipeline): Pipeline {
  const { label, signature } = pipeline;
  let code = pipeline.code;
  for (const rewrite of rewrites) code = rewrite({ label, code }) ?? code;
  return code === pipeline.code ? pipeline : pipelineOf(label, code, signature);
}
