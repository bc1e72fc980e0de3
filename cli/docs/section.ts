/** A part of a page that search finds. */
export interface Section {
  /** Its address within the page, after the `#`. */
  readonly id: string;
  readonly title: string;
  readonly html: string;
  /** The words to search. */
  readonly text: string;
}

/** What search loads: sections without their HTML, by their address in the site. */
export const searchIndex = (page: string, sections: readonly Section[]): { id: string; title: string; text: string }[] =>
  sections.map(({ id, title, text }) => ({ id: `${page}#${id}`, title, text }));
