/**
 * The same kernel under conditions that WGSL allows and adapters seldom choose: workgroups and threads in the other order, and workgroup
 * memory that holds a large number instead of WGSL's zeros. A missing barrier, or reading a value that another workgroup or
 * no thread has written, then shows in the results.
 */

interface Parameter {
  readonly builtin: string;
  readonly name: string;
}

/** Initial value of workgroup memory: large, so that sums and maxima show it. */
const STRANGE = "1e30";

/** The module's text with the order reversed and its memory filled, or null where there is nothing of it that can be told. */
export function harder(code: string): string | null {
  const head = /@workgroup_size\(([^)]*)\)[^{]*?fn\s+main\s*\(/.exec(code);
  if (!head) return null;
  const from = head.index + head[0].length;
  const to = endOf(code, from);
  const body = code.indexOf("{", to) + 1;
  const parameters = [...code.slice(from, to).matchAll(/@builtin\((\w+)\)\s*(\w+)\s*:/g)].map(
    ([, builtin, name]): Parameter => ({ builtin: builtin!, name: name! }),
  );
  const [x = "1", y = "1", z = "1"] = head[1]!.split(",").map((part) => part.trim());
  const inGroup = `vec3u(u32(${x}), u32(${y}), u32(${z}))`;
  const groups = parameters.find((p) => p.builtin === "num_workgroups")?.name ?? "harder_groups";
  const subgroups = /\bsubgroup/.test(code);
  // A thread's place in its subgroup cannot be changed, so that threads keep their order where the kernel asks for it.
  const last: Readonly<Record<string, string>> = {
    workgroup_id: `${groups} - 1u`,
    ...(subgroups
      ? {}
      : {
          local_invocation_id: `${inGroup} - 1u`,
          local_invocation_index: `u32(${x}) * u32(${y}) * u32(${z}) - 1u`,
          global_invocation_id: `${groups} * ${inGroup} - 1u`,
        }),
  };
  if (subgroups && parameters.some((p) => p.builtin === "global_invocation_id")) return null;
  const reversed = parameters.filter((p) => p.builtin in last);
  const own = code
    .slice(from, to)
    .replace(/(@builtin\((\w+)\)\s*)(\w+)(?=\s*:)/g, (whole, before, builtin, name) =>
      builtin in last ? `${before}harder_${name}` : whole,
    );
  const extra = [
    ...(groups === "harder_groups" ? ["@builtin(num_workgroups) harder_groups: vec3u"] : []),
    ...(parameters.some((p) => p.builtin === "local_invocation_index") ? [] : ["@builtin(local_invocation_index) harder_index: u32"]),
  ];
  const index = parameters.find((p) => p.builtin === "local_invocation_index")?.name;
  const raw = index === undefined ? "harder_index" : subgroups ? index : `harder_${index}`;
  const all = `u32(${x}) * u32(${y}) * u32(${z})`;
  const filled = [...code.matchAll(/var<workgroup>\s*(\w+)\s*:\s*array<(f32|vec[234]f|vec[234]<f32>)\s*,\s*([^<>;]+)>\s*;/g)].map(
    ([, name, type, count]) => `for (var i = ${raw}; i < u32(${count}); i += ${all}) { ${name}[i] = ${type}(${STRANGE}); }`,
  );
  return [
    code.slice(0, from),
    [own.trim().replace(/,$/, ""), ...extra].filter(Boolean).join(", "),
    code.slice(to, body),
    ...reversed.map(({ builtin, name }) => `\nlet ${name} = ${last[builtin]} - harder_${name};`),
    ...(filled.length > 0 ? ["\n", ...filled, " workgroupBarrier();"] : []),
    code.slice(body),
  ].join("");
}

/** Where the bracket that was opened before `from` is closed. */
export function endOf(code: string, from: number): number {
  let open = 1;
  for (let i = from; i < code.length; i++) {
    if (code[i] === "(") open++;
    else if (code[i] === ")" && --open === 0) return i;
  }
  return code.length;
}
