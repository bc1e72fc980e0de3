/** The site's guides: the Markdown files of app/site/guides as sections of one page, in the order of their names' numbers. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Marked } from "marked";
import type { Section } from "./section.ts";

const marked = new Marked({
  renderer: {
    // A long line scrolls within its block, which the keyboard has to reach.
    code: ({ text }) => `<pre tabindex="0"><code>${escaped(text)}</code></pre>\n`,
    table(token) {
      const cells = (tag: string, row: typeof token.header) =>
        `<tr>${row.map(({ tokens }) => `<${tag}>${this.parser.parseInline(tokens)}</${tag}>`).join("")}</tr>`;
      const body = token.rows.map((row) => cells("td", row)).join("");
      return `<div class="scroll" tabindex="0"><table><thead>${cells("th", token.header)}</thead><tbody>${body}</tbody></table></div>\n`;
    },
    html: ({ text }) => escaped(text),
  },
});

export const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

export const markdown = (text: string): string => marked.parse(text, { async: false });

/** The guides in `folder`: `07-kernel.md` has the address `kernel`. */
export function guides(folder: string): Section[] {
  return readdirSync(folder)
    .sort()
    .map((file) => {
      const text = readFileSync(join(folder, file), "utf8");
      const title = /^# (.*)$/m.exec(text)![1]!;
      return {
        id: file.replace(/^\d+-|\.md$/g, ""),
        title,
        html: markdown(text.replace(/^# .*\n/, "")),
        text: text.replace(/```\w*|[#`*|]/g, " "),
      };
    });
}
