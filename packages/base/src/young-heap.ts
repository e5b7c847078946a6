import { setFlagsFromString } from 'node:v8';

/**
 * Keeps the young generation of this process at the size it begins with (1 MB) instead of letting it grow to 16 MB a half.
 *
 * To be called before anything large is loaded, in processes that hold much and make little garbage: the modules that a
 * program loads at its start are what makes it grow, and it does not shrink again by itself.
 */
export function keepYoungHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}

/** Sizes the young generation of threads that are started from now on; what lives in this one stays as it is. */
export function setYoungHeapOfThreads(megabytes: number): void {
  setFlagsFromString(`--min-semi-space-size=${megabytes}`);
}
