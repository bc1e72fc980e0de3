/**
 * Elements between the beginnings of tensors that lie side by side in one flat f32 buffer: bindings start at multiples of 256 bytes.
 * LAMB is told the parameter of each such block.
 */
export const FLAT_BLOCK = 64;
