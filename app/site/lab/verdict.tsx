/** What is known of an edit: values, gradients, faults, time, distance from the machine's ceiling. */
import type { Finding } from "../../../checks/check.ts";
import type { CaseVerdict } from "../../../jobs/lab/check.ts";
import type { StepVerdict } from "../../../jobs/lab/step.ts";
import type { Compared, Roofline, TimeVerdict } from "../../../jobs/lab/time.ts";

export interface Verdict {
  readonly edit: number;
  /** A new operation: there is no shipped one beside it. */
  readonly alone: boolean;
  readonly cases: readonly CaseVerdict[];
  /** Cases that run the kernel. */
  readonly of: number;
  readonly timed: { readonly time: TimeVerdict | null; readonly roofline: Roofline | null; readonly why: string } | null;
  /** Of a training step, or why there is none; null until it is asked for. */
  readonly step: StepVerdict | string | null;
  /** From the pause to the whole verdict; null while it is being made. */
  readonly ms: number | null;
}

export const noVerdict: Verdict = { edit: 0, alone: false, cases: [], of: 0, timed: null, step: null, ms: null };

const figure = (value: number | null): string => (value === null ? "–" : String(Number(value.toPrecision(6))));

export const isRight = ({ cases }: Verdict): boolean => cases.every(({ ok }) => ok);

const casesOf = (n: number): string => (n === 1 ? "1 case" : `${n} cases`);

export function inWords({ alone, cases, of, timed, ms }: Verdict): string {
  const wrong = cases.filter(({ ok }) => !ok).length;
  if (wrong > 0) return `wrong in ${wrong} of ${casesOf(cases.length)}`;
  if (of === 0 && ms !== null) return "no case here runs this kernel";
  if (ms === null) return `right so far: ${cases.length} of ${of === 0 ? "… cases" : casesOf(of)}`;
  if (alone) return `right in ${casesOf(cases.length)}${timed?.time ? `, ${timed.time.ms} ms` : ""}`;
  return `right in ${casesOf(cases.length)}${timed?.time ? `, ${timed.time.verdict === "not told apart" ? "not told apart from the shipped kernel" : `${timed.time.ratio} times the shipped kernel's speed`}` : ""}`;
}

export function VerdictView({ verdict, old }: { readonly verdict: Verdict; readonly old: boolean }) {
  const { alone, cases, timed, step, ms } = verdict;
  const gradients = [...new Set(cases.flatMap(({ gradients: g = {} }) => Object.keys(g)))];
  return (
    <section class="card lab-verdict" aria-label="Verdict" data-old={old} data-judged={ms === null ? "" : verdict.edit} data-right={isRight(verdict)}>
      <div class="row spread">
        <h2>{inWords(verdict)}</h2>
        <span class="note">{old ? "of the text before" : ms === null ? "…" : `${(ms / 1000).toFixed(2)} s`}</span>
      </div>
      {timed && <Times {...timed} alone={alone} />}
      {step !== null && <Step step={step} />}
      {cases.flatMap(wrongLines).map((line) => (
        <p class="error" key={line}>{line}</p>
      ))}
      <div class="scroll" tabIndex={0} role="region" aria-label="Cases">
        <table>
          <thead>
            <tr>
              <th scope="col">case</th>
              <th scope="col">values</th>
              {gradients.map((name) => (
                <th scope="col" key={name}>d{name}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {cases.map(({ name, ok, values, gradients: g = {} }) => (
              <tr key={name}>
                <td>{ok ? "✓" : "✗"} {name}</td>
                <td>{values ? error(values) : "–"}</td>
                {gradients.map((input) => (
                  <td key={input}>{g[input] ? error(g[input]) : "–"}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

const error = ({ ok, worst }: Finding): string => `${ok ? "" : "✗ "}${worst.toExponential(1)}`;

function wrongLines({ name, values, gradients = {}, faults }: CaseVerdict): string[] {
  const found = Object.entries({ y: values, ...Object.fromEntries(Object.entries(gradients).map(([input, f]) => [`d${input}`, f])) });
  return [
    ...faults.map((fault) => `${name}: ${fault}`),
    ...found.flatMap(([what, f]) => (f && !f.ok ? [`${name}: ${what}[${f.at}]: expected ${figure(f.expected)}, got ${figure(f.got)}`] : [])),
  ];
}

const comparison = ({ ms, shippedMs, ratio, ratioRange, pairs }: Compared): string =>
  `${ms} ms, shipped ${shippedMs} ms: ${ratio} times its speed, 95 % range ${ratioRange.join(" to ")} (${pairs} pairs)`;

function Step({ step }: { readonly step: StepVerdict | string }) {
  if (typeof step === "string") return <p class="note" data-step="">No training step: {step}.</p>;
  return (
    <dl class="facts">
      <dt>Training step</dt>
      <dd data-step={step.verdict}>
        {step.step}, {step.edited} of {step.launches} launches edited: {comparison(step)}: <strong>{step.verdict}</strong>
      </dd>
    </dl>
  );
}

function Times({ time, roofline, why, alone }: NonNullable<Verdict["timed"]> & { readonly alone: boolean }) {
  if (!time || !roofline) return <p class="note">Not timed: {why}.</p>;
  const { ceilings, fraction, gbps, gflops, boundBy } = roofline;
  return (
    <>
      <dl class="facts">
        <dt>Time, {time.size}</dt>
        <dd data-time={time.verdict}>
          {alone ? `${time.ms} ms` : <>{comparison(time)}: <strong>{time.verdict}</strong></>}
        </dd>
        <dt>Roofline</dt>
        <dd data-roofline={fraction}>
          {(100 * fraction).toFixed(0)} % of what {boundBy} allows here, measured in the same minute: {gbps} of {ceilings.copyGBps} GB/s{gflops === null ? "" : `, ${gflops} of ${ceilings.fmaGFlops} GFLOP/s`}
          {fraction > 1 ? " (above 100 %: it stays in a cache)" : ""}
        </dd>
      </dl>
      <div class="bars" aria-hidden="true">
        <span class="track"><i style={{ width: `${Math.min(100, 100 * fraction)}%` }} /></span>
      </div>
    </>
  );
}
