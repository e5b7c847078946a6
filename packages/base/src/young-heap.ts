import { setFlagsFromString } from 'node:v8';

/**
 * Sizes the young generation (each of its halves) of threads that are started from now on; this one stays as it is. For
 * the first thread there is `node --max-semi-space-size=<MB>`.
 *
 * No other flag of the heap does: after most that are set at run time V8 accepts nothing from the compile cache any more.
 */
export function setYoungHeapOfThreads(megabytes: number): void {
  setFlagsFromString(`--min-semi-space-size=${megabytes}`);
  setFlagsFromString(`--max-semi-space-size=${megabytes}`);
}
