import { declareCases } from "./node-cases.ts";

await declareCases(1, 3);
