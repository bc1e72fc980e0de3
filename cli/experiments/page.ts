import type { Results } from "./tables.ts";
export const page = (results: Results): string => `<pre>${JSON.stringify(results.tables, null, 1)}</pre>`;
