import type { Results } from "./tables.ts";
export const markdown = (results: Results): string => JSON.stringify(results.tables, null, 1);
