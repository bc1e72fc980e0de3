import { declareChromiumCases } from "../chromium-cases.ts";

await declareChromiumCases(0, 1, true);
