/** A kind of fault of the chaos suite. */
import type { Random } from "../../../kernels/shared/random.ts";

export interface Fault {
  /** As the table of results names it. */
  readonly name: string;
  readonly tries: number;
  /** What must hold after each try, for the table. */
  readonly survives: string;
  /** Why it cannot be tried on this machine. */
  readonly unable?: string | undefined;
  /** One try. Throws where something was lost, or the fault was not told as it should be; resolves to what the table may add. */
  attempt(random: Random, number: number): Promise<string | undefined>;
}
