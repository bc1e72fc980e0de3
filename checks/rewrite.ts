/**
 * Replaces kernels' WGSL, with unchanged bindings and workgroups: for people who write a kernel, and for
 * checks that run a kernel under harder conditions. Launches recorded before keep their text.
 */
import { replacePipelines } from "../engine/launch.ts";
import { pipelineOf, type Pipeline } from "../engine/pipeline.ts";

/** A kernel's name and its whole WGSL. */
export interface Module {
  readonly label: string;
  readonly code: string;
}

/** Returns the new text of a kernel's module, or null to keep it. The latest registered is given what those before it returned. */
export type Rewrite = (module: Module) => string | null;

const rewrites: Rewrite[] = [];

/** Applies `rewrite` to every launch from now on. Returns a function that ends it. */
export function rewriteModules(rewrite: Rewrite): () => void {
  rewrites.push(rewrite);
  replacePipelines(rewritten);
  return () => {
    rewrites.splice(rewrites.indexOf(rewrite), 1);
    if (rewrites.length === 0) replacePipelines(null);
  };
}

/** The pipeline to launch in place of a kernel's own. */
export function rewritten(pipeline: Pipeline): Pipeline {
  const { label, signature } = pipeline;
  let code = pipeline.code;
  for (const rewrite of rewrites) code = rewrite({ label, code }) ?? code;
  return code === pipeline.code ? pipeline : pipelineOf(label, code, signature);
}
