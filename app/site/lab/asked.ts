/** A text to come back to: from the address, from the history, or one that hung before a reload. */
import { messageOf } from "../shell/message.ts";
import type { Entry } from "./history.ts";
import { challengeOf, fromHash, shapeOf } from "./link.ts";

export interface Asked extends Pick<Entry, "op" | "kernel" | "shipped" | "code"> {
  /** It hung before: it waits for a change. */
  readonly hung?: boolean;
}

/** Where a text that hung waits for a reload. */
const HUNG = "tessera-lab-hung";

export const keepHung = (asked: Asked): void => sessionStorage.setItem(HUNG, JSON.stringify(asked));

/** What the page opens with, and what is wrong with the address if anything is. */
export function askedAtStart(): { readonly asked: Asked | null; readonly fault: string } {
  const hung = sessionStorage.getItem(HUNG);
  sessionStorage.removeItem(HUNG);
  if (hung) return { asked: JSON.parse(hung) as Asked, fault: "" };
  if (location.hash.length <= 1 || shapeOf(location.hash) || challengeOf(location.hash)) return { asked: null, fault: "" };
  try {
    return { asked: fromHash(location.hash), fault: "" };
  } catch (error) {
    return { asked: null, fault: messageOf(error) };
  }
}
