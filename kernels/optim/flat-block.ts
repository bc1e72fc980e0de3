/**
 * Elements between the beginnings of tensors that lie side by side in one flat f32 buffer: bindings start at multiples of 256 bytes.
 * An update rule that needs to know a parameter by its elements is told one parameter for each block of so many.
 */
export const FLAT_BLOCK = 64;
