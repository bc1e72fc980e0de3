/** How many elements a thread loads at once: four, as a vector, where lengths allow; else one. */

export type Width = 1 | 4;

/** Four where all of these lengths are whole fours. */
export const widthFor = (...lengths: readonly number[]): Width => (lengths.every((n) => n % 4 === 0) ? 4 : 1);

/** WGSL's type of so many elements. */
export const typeOf = (W: Width) => (W === 4 ? "vec4f" : "f32");
