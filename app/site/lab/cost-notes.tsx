/** What the margin says, and what of a module's form is worth a look. */
export function CostNotes({ notes }: { readonly notes: readonly string[] }) {
  return (
    <>
      <p class="note">The margin counts each line's cost by its text alone: arithmetic, loads and stores as ten, barriers ‖.</p>
      {notes.length > 0 && (
        <details>
          <summary>{notes.length} notes on the module's form</summary>
          <ul>
            {notes.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}
