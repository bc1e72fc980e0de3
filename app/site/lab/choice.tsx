/** The choice of an operation and of the kernel that is edited. */
import type { ComponentChildren } from "preact";
import type { Kernel } from "./messages.ts";

/** A new operation, in the list of operations. */
export const NEW = "new operation";
/** What is to be beaten, in the list of operations. */
export const CHALLENGES = "challenges";

interface ChoiceProps {
  readonly ops: readonly string[];
  readonly op: string;
  readonly kernels: readonly Kernel[];
  /** Null for a new operation, and until the kernels are known. */
  readonly shipped: Kernel | null;
  readonly onOp: (name: string) => void;
  /** Also where the one that is shown is chosen again: as it is shipped. */
  readonly onKernel: (kernel: Kernel) => void;
  readonly children: ComponentChildren;
}

export function Choice({ ops, op, kernels, shipped, onOp, onKernel, children }: ChoiceProps) {
  return (
    <div class="row lab-choice">
      <label>
        Operation{" "}
        <select value={op} disabled={ops.length === 0} onChange={({ currentTarget }) => onOp(currentTarget.value)} data-op>
          {ops.map((name) => (
            <option key={name} value={name}>{name}</option>
          ))}
          <option value={NEW}>{NEW}</option>
          <option value={CHALLENGES}>{CHALLENGES}</option>
        </select>
      </label>
      {op !== NEW && op !== CHALLENGES && (
        <>
          <label class="lab-kernel">
            Kernel{" "}
            <select value={shipped?.name ?? ""} disabled={kernels.length === 0} onChange={({ currentTarget }) => {
              const kernel = kernels.find(({ name }) => name === currentTarget.value);
              if (kernel) onKernel(kernel);
            }}>
              {kernels.map(({ name }) => (
                <option key={name} value={name}>{name}</option>
              ))}
            </select>
          </label>
          <button type="button" disabled={!shipped} onClick={() => shipped && onKernel(shipped)}>As shipped</button>
        </>
      )}
      {children}
    </div>
  );
}
