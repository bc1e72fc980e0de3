/** The editor: WGSL in colours, messages at their lines, the names of the module offered while typing, and each line's static cost. */
import { autocompletion, completeAnyWord, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, HighlightStyle, indentOnInput, type LanguageSupport, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, lintGutter, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { Annotation, EditorState, type Extension, StateEffect, StateField } from "@codemirror/state";
import { drawSelection, EditorView, GutterMarker, gutter, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { LineCost } from "./cost.ts";
import type { Message } from "./messages.ts";

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.controlKeyword, tags.definitionKeyword, tags.modifier], color: "var(--code-keyword)" },
  { tag: [tags.typeName, tags.standard(tags.typeName), tags.className], color: "var(--code-type)" },
  { tag: [tags.number, tags.bool, tags.integer, tags.float, tags.string], color: "var(--code-number)" },
  { tag: [tags.comment, tags.lineComment, tags.blockComment], color: "var(--soft)", fontStyle: "italic" },
  { tag: [tags.function(tags.variableName), tags.function(tags.definition(tags.variableName))], color: "var(--code-call)" },
  { tag: [tags.meta, tags.annotation, tags.attributeName], color: "var(--warm)" },
]);

const look = EditorView.theme({
  "&": { backgroundColor: "var(--card)", color: "var(--ink)", fontSize: "0.85rem", border: "1px solid var(--line)", borderRadius: "8px" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "1px" },
  ".cm-scroller": { fontFamily: "ui-monospace, monospace", minHeight: "16rem", maxHeight: "70vh" },
  ".cm-gutters": { backgroundColor: "var(--card)", color: "var(--soft)", borderRight: "1px solid var(--line)" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--track) 55%, transparent)" },
  ".cm-content": { caretColor: "var(--ink)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--track) !important" },
  ".cm-tooltip, .cm-panels": { backgroundColor: "var(--card)", color: "var(--ink)", border: "1px solid var(--line)" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-cost": { padding: "0 0.4rem", minWidth: "2.6rem", textAlign: "right", fontVariantNumeric: "tabular-nums" },
});

const setCosts = StateEffect.define<ReadonlyMap<number, LineCost>>();
const costs = StateField.define<ReadonlyMap<number, LineCost>>({
  create: () => new Map(),
  update: (value, { effects }) => effects.find((effect) => effect.is(setCosts))?.value ?? value,
});

class CostMarker extends GutterMarker {
  readonly #cost: LineCost;
  constructor(cost: LineCost) {
    super();
    this.#cost = cost;
  }
  override eq(other: CostMarker): boolean {
    return this.#cost.says === other.#cost.says;
  }
  override toDOM(): Node {
    const mark = document.createElement("span");
    mark.textContent = this.#cost.short;
    mark.title = this.#cost.says;
    return mark;
  }
}

const costGutter: Extension = [
  costs,
  gutter({
    class: "cm-cost",
    lineMarker: (view, line) => {
      const cost = view.state.field(costs).get(view.state.doc.lineAt(line.from).number);
      return cost ? new CostMarker(cost) : null;
    },
    lineMarkerChange: ({ transactions }) => transactions.some(({ effects }) => effects.some((effect) => effect.is(setCosts))),
  }),
];

/** Of a text that was put in, not typed: its owner knows it. Told of it, both would answer each other for ever where somebody types quickly. */
const putIn = Annotation.define<true>();

interface EditorProps {
  /** Where it differs from what is shown, the text is replaced. */
  readonly text: string;
  readonly label: string;
  readonly language: LanguageSupport;
  readonly messages: readonly Message[];
  /** By line; without them the margin has no room for any. */
  readonly costs?: ReadonlyMap<number, LineCost>;
  readonly onChange: (text: string) => void;
}

export function Editor({ text, label, language, messages, costs: lineCosts, onChange }: EditorProps) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const changed = useRef(onChange);
  changed.current = onChange;
  useEffect(() => {
    const editor = new EditorView({
      parent: place.current!,
      state: EditorState.create({
        doc: text,
        extensions: [
          lineNumbers(),
          lintGutter(),
          ...(lineCosts ? [costGutter] : []),
          history(),
          drawSelection(),
          indentOnInput(),
          bracketMatching(),
          highlightActiveLine(),
          highlightSelectionMatches(),
          autocompletion({ override: [completeAnyWord] }),
          // No Tab: it leads out of the editor, as elsewhere in the page.
          keymap.of([...defaultKeymap, ...searchKeymap, ...historyKeymap, ...completionKeymap]),
          language,
          syntaxHighlighting(colours),
          look,
          EditorView.contentAttributes.of({ "aria-label": label }),
          EditorView.updateListener.of(({ docChanged, transactions, state }) => {
            if (docChanged && !transactions.some((one) => one.annotation(putIn))) changed.current(state.doc.toString());
          }),
        ],
      }),
    });
    editor.scrollDOM.tabIndex = 0; // can be scrolled by keyboard alone
    view.current = editor;
    return () => editor.destroy();
  }, [language, label]);
  // At once: before the next key, whose text would be replaced by the one before it.
  useLayoutEffect(() => {
    const editor = view.current;
    if (editor && editor.state.doc.toString() !== text)
      editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: text }, annotations: putIn.of(true) });
  }, [text]);
  useEffect(() => {
    const { doc } = view.current!.state;
    const found = messages.map(({ line, column, length, kind, text: message }): Diagnostic => {
      const at = doc.line(Math.min(Math.max(1, line), doc.lines));
      const from = Math.min(at.from + Math.max(0, column - 1), at.to);
      return { from, to: Math.min(from + Math.max(1, length), at.to), severity: kind, message };
    });
    view.current!.dispatch(setDiagnostics(view.current!.state, found));
  }, [messages]);
  useEffect(() => {
    if (lineCosts) view.current!.dispatch({ effects: setCosts.of(lineCosts) });
  }, [lineCosts]);
  return <div ref={place} data-editor={label} />;
}
