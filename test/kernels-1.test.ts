import { declareCases } from "./node-cases.ts";

await declareCases(0, 3);
