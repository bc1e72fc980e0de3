/** A piece of work that never ends by itself. */
export const wait = (): Promise<never> => new Promise(() => undefined);
