/** A run's position. Data order, crops, mixing and dropped paths follow from seed, epoch and step, so nothing else is needed. */
export interface Position {
  readonly epoch: number;
  /** Updates made in this epoch, and in total. */
  readonly stepInEpoch: number;
  readonly step: number;
}
