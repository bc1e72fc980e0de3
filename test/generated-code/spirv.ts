/** Reads the SPIR-V that Dawn prints (toggle `dump_shaders`): what Tint put into it that the WGSL does not say. */

export interface Figures {
  /** Loops with no loop inside: where a kernel's time goes. */
  readonly inner: number;
  /** Those of them that count their turns (five instructions a turn), as Tint could not prove that they end. */
  readonly innerCounted: number;
  readonly outer: number;
  readonly outerCounted: number;
  /** Indices of arrays in workgroup memory, and of a thread's own, that Tint clamps, as it could not prove them in range. */
  readonly workgroupClamps: number;
  readonly ownClamps: number;
}

/** The SPIR-V of each WGSL text in what Dawn printed. */
export function dumpedSpirv(log: string): Map<string, string> {
  const found = new Map<string, string>();
  const parts = log.split(/^info:\n/m);
  let wgsl: string | null = null;
  for (const part of parts) {
    const source = /^\/\/ Dumped WGSL:\n([^]*)$/.exec(part);
    const spirv = /^\/\* Dumped SPIRV disassembly \*\/\n([^]*)$/.exec(part);
    if (source) wgsl = source[1]!.trim();
    else if (spirv && wgsl !== null) {
      found.set(wgsl, spirv[1]!);
      wgsl = null;
    }
  }
  return found;
}

/** Counts loops and clamps in a disassembled module. Names must have been kept (`disable_symbol_renaming`). */
export function figuresOf(spirv: string): Figures {
  const lines = spirv.split("\n").map((line) => line.trim());
  const clamps = new Set(lines.flatMap((line) => /^(%\S+) = OpExtInst %\S+ %\S+ UMin /.exec(line)?.[1] ?? []));
  const clamped = (storage: string) =>
    lines.filter((line) => {
      const chain = /^%\S+ = OpAccessChain %_ptr_(\w+?)_\S+ %\S+ (.*)$/.exec(line);
      return chain?.[1] === storage && chain[2]!.split(" ").some((index) => clamps.has(index));
    }).length;

  // A loop is from its header's label to the label where it merges; it counts if it reads a counter outside of the loops in it.
  const label = (id: string) => lines.indexOf(`${id} = OpLabel`);
  const loops = lines.flatMap((line, at) => {
    const merge = /^OpLoopMerge (%\S+) /.exec(line);
    return merge ? [{ from: at, to: label(merge[1]!) }] : [];
  });
  const counts = lines.flatMap((line, at) => (/^%\S+ = OpLoad %v2uint %tint_loop_idx/.test(line) ? [at] : []));
  const within = (at: number) => loops.filter(({ from, to }) => from < at && at < to);
  const own = new Map(
    loops.map((loop) => [loop, { inside: loops.some((l) => l !== loop && loop.from < l.from && l.from < loop.to), counted: false }]),
  );
  for (const at of counts) {
    const nearest = within(at).reduce((a, b) => (b.from > a.from ? b : a));
    own.get(nearest)!.counted = true;
  }
  const of = (inside: boolean, counted?: boolean) =>
    [...own.values()].filter((l) => l.inside === inside && (counted === undefined || l.counted === counted)).length;
  return {
    inner: of(false),
    innerCounted: of(false, true),
    outer: of(true),
    outerCounted: of(true, true),
    workgroupClamps: clamped("Workgroup"),
    ownClamps: clamped("Function") + clamped("Private"),
  };
}
