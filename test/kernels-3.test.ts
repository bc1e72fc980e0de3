import { declareCases } from "./node-cases.ts";

await declareCases(2, 3);
