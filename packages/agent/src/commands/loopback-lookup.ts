import type { LookupFunction } from 'node:net';

/** Looks up the pod itself, whichever families its sidecar has: not every pod's hosts file has both. */
export const lookupLoopback: LookupFunction = (_hostname, _options, callback) =>
  callback(null, [
    { address: '127.0.0.1', family: 4 },
    { address: '::1', family: 6 },
  ]);
