/** Where a run stands. Data order, crops, mixing and dropped paths follow from seed, epoch and step, so these are all there is. */
export interface Position {
  readonly epoch: number;
  /** Updates made in this epoch, and in all. */
  readonly stepInEpoch: number;
  readonly step: number;
}
