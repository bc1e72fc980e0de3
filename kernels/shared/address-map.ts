/** Where a matrix's elements lie in a tensor, for products that read and write operands in place. */
export interface AddressMap {
  /** WGSL for where row and column `i` (u32) of the matrix lie, in elements; an element lies at their sum. */
  readonly row: string;
  readonly col: string;
  /** Along a stored row, four elements from a multiple of four on lie together, at a multiple of four. */
  readonly fours?: boolean;
}

export const transposedMap = ({ row, col }: AddressMap): AddressMap => ({ row: col, col: row });
