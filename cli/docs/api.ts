/** The site's API page: the package's public names with their signatures and comments, read from the sources by TypeDoc. */
import { join } from "node:path";
import { Application, type Comment, type DeclarationReflection, ReflectionKind, type SignatureReflection } from "typedoc";
import { escaped, markdown } from "./guides.ts";
import type { Section } from "./section.ts";

/** The package's entries, and the name that each is imported from. */
const ENTRIES: Readonly<Record<string, string>> = {
  index: "tessera-gpu",
  "tasks/worker": "tessera-gpu/worker",
  "tasks/node": "tessera-gpu/node",
};

export interface ApiModule {
  readonly name: string;
  readonly sections: readonly Section[];
}

/** Every public name of the repository at `root`, by module, in the order of the alphabet. */
export async function api(root: string): Promise<ApiModule[]> {
  const app = await Application.bootstrap({
    entryPoints: Object.keys(ENTRIES).map((file) => join(root, `${file}.ts`)),
    basePath: root,
    tsconfig: join(root, "tsconfig.build.json"),
    skipErrorChecking: true, // `npm run check` does that
    excludePrivate: true,
    excludeExternals: true,
    disableSources: true,
    logLevel: "Error",
  });
  const project = await app.convert();
  if (!project) throw new Error("api: expected TypeDoc to read the sources, got errors");
  return (project.children ?? []).map((module) => {
    const name = ENTRIES[module.name]!;
    const sections = (module.children ?? []).map((one) => section(one, name));
    return { name, sections: sections.sort((a, b) => a.title.localeCompare(b.title)) };
  });
}

function section(one: DeclarationReflection, from: string): Section {
  const about = commentOf(one);
  const members = (one.children ?? []).filter((member) => !member.inheritedFrom && member.name !== "[iterator]");
  const html = [
    `<pre tabindex="0"><code>${escaped(declarations(one).join("\n"))}</code></pre>`,
    markdown(about),
    ...(members.length > 0
      ? [
          `<dl class="members">${members.map((member) => `<dt><code>${escaped(declarations(member).join("\n"))}</code></dt><dd>${markdown(commentOf(member))}</dd>`).join("")}</dl>`,
        ]
      : []),
  ].join("\n");
  const words = members.map((member) => `${member.name} ${commentOf(member)}`).join(" ");
  return { id: idOf(one, from), title: one.name, html, text: `${from} ${about} ${words}` };
}

/** A type and a value may have one name: `Tensor`. */
const idOf = ({ name, kind }: DeclarationReflection, from: string): string =>
  `${from.split("/")[1] ?? "main"}-${name}${kind === ReflectionKind.TypeAlias ? "-type" : ""}`;

/** As TypeScript: a line for each signature. */
function declarations(one: DeclarationReflection): string[] {
  if (one.signatures) return one.signatures.map(signature);
  if (one.getSignature) return [`${one.name}: ${one.getSignature.type}`];
  if (one.kindOf(ReflectionKind.TypeAlias)) return [`type ${one.name} = ${one.type}`];
  if (one.kindOf([ReflectionKind.Class, ReflectionKind.Interface]))
    return [`${one.kindOf(ReflectionKind.Class) ? "class" : "interface"} ${one.name}`];
  const keyword = one.parent?.kindOf([ReflectionKind.Module, ReflectionKind.Project]) ? "const " : "";
  return [`${keyword}${one.name}${one.flags.isOptional ? "?" : ""}: ${one.type}`];
}

function signature({ name, kind, parameters = [], typeParameters = [], type }: SignatureReflection): string {
  const generics = typeParameters.length > 0 ? `<${typeParameters.map((t) => t.name).join(", ")}>` : "";
  const given = parameters.map(
    (p) =>
      `${p.flags.isRest ? "..." : ""}${p.name === "__namedParameters" ? "options" : p.name}${p.flags.isOptional || p.defaultValue ? "?" : ""}: ${p.type}`,
  );
  const called = kind === ReflectionKind.ConstructorSignature ? `new ${type}` : name;
  return `${called}${generics}(${given.join(", ")})${kind === ReflectionKind.ConstructorSignature ? "" : `: ${type}`}`;
}

/** A comment of a function is its signature's. */
function commentOf(one: DeclarationReflection): string {
  const comment: Comment | undefined = one.comment ?? one.signatures?.[0]?.comment ?? one.getSignature?.comment;
  if (!comment) return "";
  const said = (parts: Comment["summary"]): string => parts.map(({ text }) => text).join("");
  return [said(comment.summary), ...comment.blockTags.filter(({ tag }) => tag === "@example").map(({ content }) => said(content))].join(
    "\n\n",
  );
}
