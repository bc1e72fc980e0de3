/** The way from a case to the lab. */
import { cases } from "../../bench/cases.ts";
import { shapeHash } from "../site/lab/link.ts";

/** Addresses for a lab at `page`, of cases by name; null for models, updates and what is no case of this version. */
export const labOf =
  (page: string) =>
  (name: string): string | null => {
    const work = cases.find((c) => c.name === name)?.work;
    return work && "sizes" in work ? page + shapeHash(work) : null;
  };
