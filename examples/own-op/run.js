/** Checks softplus as the library checks its own operations, then finds the faster kernel on this adapter and uses it. */
import { opCases } from "tessera-gpu/checks/op-cases";
import { opProblem } from "tessera-gpu/checks/op-problem";
import { tune } from "tessera-gpu/bench/tune/tune";
import { useTuning } from "tessera-gpu/kernels/shared/tuning";
import { Tensor } from "tessera-gpu/engine/tensor";
import { initNodeDevice } from "tessera-gpu/node";
import { facts, softplus } from "./softplus.js";

await initNodeDevice();

const sizes = { "one element": "1", "no whole workgroup": "7x13", "whole fours": "5x212" };
const variantsOf = ({ rows }) => facts.variants.filter((variant) => facts.needs(variant, { rows }));
for (const { name, run } of opCases(facts, sizes, variantsOf)) {
  await run(); // throws where a value, a gradient or a write is wrong
  console.log(`passed: ${name}`);
}

const problem = opProblem(facts, "softplus 788x768");
const answer = await tune(problem);
problem.dispose();
for (const { name, ms } of answer.measured) console.log(`${answer.question} by ${name}: ${ms} ms`);
useTuning({ source: "this run", choices: { [answer.question]: answer.choice } });

const y = softplus(Tensor.from([-1, 0, 1, 2], [4]));
console.log(`softplus of -1, 0, 1, 2: ${[...(await y.floats())].map((v) => v.toFixed(4)).join(", ")}`);
process.exit(0); // Dawn keeps Node alive
