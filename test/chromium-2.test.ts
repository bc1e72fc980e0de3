import { declareChromiumCases } from "./chromium-cases.ts";

await declareChromiumCases(1, 2);
